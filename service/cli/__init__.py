"""The `mudar` command."""
