"""Answers POST /embed."""
