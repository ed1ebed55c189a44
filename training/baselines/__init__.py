"""Holds the self-supervised systems that the paper compares with, as networks of our size on the same batches."""
