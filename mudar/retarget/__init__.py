"""Strokes and onsets to a time map, and the report of how well it lands."""
