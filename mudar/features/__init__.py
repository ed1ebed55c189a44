"""Computes features of signals: mel, onsets, optical flow, HOOF."""
