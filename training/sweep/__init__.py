"""The study: many trials, side by side, and their report."""
