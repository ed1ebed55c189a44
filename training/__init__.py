"""The laboratory: data, losses, training, evaluation, publishing."""
