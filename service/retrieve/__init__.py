"""POST /retrieve."""
