"""Makes the frames that lie between two frames of a clip."""
