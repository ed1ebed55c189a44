"""Signals to features: mel, onsets, optical flow, HOOF."""
