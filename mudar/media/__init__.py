"""Files in and out: probe, decode, render. Knows nothing of rhythm."""
