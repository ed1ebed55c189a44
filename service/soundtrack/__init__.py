"""Answers POST /soundtrack and POST /sync."""
