"""POST /soundtrack."""
