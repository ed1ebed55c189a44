"""Answers a search from the library: filters, the index that follows it, titles."""
