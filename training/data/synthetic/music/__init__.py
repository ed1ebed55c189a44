"""Generates songs whose beats are known."""
