"""Measures what embeddings are used for: retrieval, classification, synchrony."""
