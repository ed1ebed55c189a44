"""Defines runs by name: the paper's, ours, and each ablation as one field changed."""
