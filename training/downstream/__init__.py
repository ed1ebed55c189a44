"""What the embeddings are good for: the styles of dances (4.2), retrieval (4.3), and the control by colour alone."""
