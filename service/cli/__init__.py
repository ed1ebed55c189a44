"""Holds the `mudar` command."""
