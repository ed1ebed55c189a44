"""Measures the speed of training, each figure beside its floor."""
