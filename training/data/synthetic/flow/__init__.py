"""Generates pairs of pictures with known flow."""
