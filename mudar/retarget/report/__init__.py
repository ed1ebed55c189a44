"""Measures and draws how well a retargeted dance meets its song."""
