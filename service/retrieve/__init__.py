"""Answers POST /retrieve: ranks the library for an item or a file."""
