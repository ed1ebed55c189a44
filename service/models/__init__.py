"""Lists the models that can be asked for."""
