"""Makes the paper's three tables of one network."""
