"""Builds the network of the paper, block by block, from one ModelConfig."""
