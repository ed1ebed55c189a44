"""Turns an alignment into a smooth, speed-limited time map."""
