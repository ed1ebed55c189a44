"""Generates dancers, songs and flow whose truth is known."""
