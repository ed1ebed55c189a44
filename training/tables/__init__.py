"""The paper's three tables on our records, each figure clip by clip, beside its chance and its null."""
