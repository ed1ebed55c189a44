"""The names that the engine room and the front door agree on; service/jobs/queue.py says the same (a test compares)."""

from __future__ import annotations

TASK = "mudar.run_job"
QUEUE = "mudar"
ENQUEUED = "mudar:enqueued"
JOBS_CHANNEL = "mudar:jobs"
WORKERS = "mudar:workers"
