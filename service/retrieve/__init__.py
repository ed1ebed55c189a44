"""Answers POST /retrieve."""
