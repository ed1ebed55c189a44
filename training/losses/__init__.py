"""Defines what training minimises: rhythm (19) and its ablations, and the implicit pathway's (18)."""
