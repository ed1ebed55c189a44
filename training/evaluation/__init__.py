"""Measures a network on clips, each figure beside its chance level."""
