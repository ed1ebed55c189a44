"""Finds and describes rhythm: beats, strokes, tempo, descriptors."""
