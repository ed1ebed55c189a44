"""The paper's three tables of one network."""
