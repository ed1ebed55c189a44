"""Reads and writes media files: probe, decode, interpolate, render. Knows nothing of rhythm."""
