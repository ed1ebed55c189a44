"""Decodes media files to frames and samples on one clock."""
