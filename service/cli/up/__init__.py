"""Runs the API, a worker and a broker on one machine."""
