"""Aligns the strokes of a dance with the beats of a song."""
