"""Submits, follows and cancels jobs."""
