"""The shell around checkpoints: cards, names, aliases, verified loading."""
