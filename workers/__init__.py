"""Runs jobs: a Celery task over plain handlers."""
