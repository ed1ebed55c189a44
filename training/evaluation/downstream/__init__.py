"""What embeddings are used for: retrieval and classification."""
