"""Writes the video that a time map describes."""
