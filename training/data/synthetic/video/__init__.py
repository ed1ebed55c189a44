"""Generates dancers and the pictures of them."""
