"""Stores checkpoints: model cards, names, aliases, verified loading."""
