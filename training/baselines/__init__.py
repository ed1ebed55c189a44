"""The self-supervised systems that the paper compares with, as networks of our budget on the same batches."""
