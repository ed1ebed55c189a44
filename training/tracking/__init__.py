"""Logs the curves and images of a run."""
