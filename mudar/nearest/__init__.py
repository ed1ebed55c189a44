"""What retrieve.py searches with: rows kept whole or in lists, sieves that skip most of them, and their ranking."""
