"""The network of the paper, block by block, from one ModelConfig."""
