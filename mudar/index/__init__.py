"""Searches segments of dances and songs by the hybrid score, on FAISS."""
