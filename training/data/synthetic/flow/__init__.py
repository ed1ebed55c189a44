"""Generated pairs of pictures with known flow."""
