"""Generated songs."""
