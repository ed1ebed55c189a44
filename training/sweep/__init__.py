"""Runs the trials of the study, many at a time, and their report."""
