"""Names what the API and its workers exchange through Redis: a Celery task, its queue, keys and a channel."""

from __future__ import annotations

TASK = "mudar.run_job"
QUEUE = "mudar"
ENQUEUED = "mudar:enqueued"  # sorted set: job id by the time at which it was sent
JOBS_CHANNEL = "mudar:jobs"  # {"id", "state"} whenever a job changed
WORKERS = "mudar:workers"  # prefix of one key a worker process: its model and device, as JSON
