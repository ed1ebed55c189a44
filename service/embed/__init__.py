"""POST /embed."""
