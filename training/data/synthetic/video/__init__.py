"""Generated dancers and the pictures of them."""
