"""Finds out what a media file holds and whether it can be used."""
