"""Holds commands that are run by hand."""
