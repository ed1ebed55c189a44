"""Speeds of training, each beside its floor."""
