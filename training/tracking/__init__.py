"""Curves and images of a run."""
