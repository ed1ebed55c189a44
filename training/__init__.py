"""Trains, evaluates and publishes the networks that the service runs."""
