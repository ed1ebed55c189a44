"""Reads frames, samples and time stamps from media files."""
