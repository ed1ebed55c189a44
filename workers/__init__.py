"""The engine room: Celery tasks over plain steps."""
