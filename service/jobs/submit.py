"""Creates jobs: written in the caller's transaction, sent to the queue after it. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mudar.library import jobs
from mudar.library.db import Session
from mudar.library.jobs import JobSpec
from service.container import Container
from service.jobs.queue import JobMessage
from service.responses import Accepted, JobState


@dataclass(frozen=True)
class QueuedJob:
    """A job's row as it was created, or as it was there already under the same key; `limit_s`: how long it may take."""

    id: str
    state: JobState
    item_ids: Sequence[str]
    limit_s: float


def create_job(
    container: Container, session: Session, spec: JobSpec, media_s: float, limit_s: float | None = None
) -> QueuedJob:
    """Writes the job's row in the transaction that also writes what it is about.

    media_s: seconds of media that it goes through, which give its time limit unless `limit_s` does.
    """
    limit_s = container.settings.limit_s(media_s) if limit_s is None else limit_s
    params, tries = {**spec.params, "limit_s": limit_s}, container.settings.max_attempts
    record = jobs.create_job(session, replace(spec, params=params, max_attempts=tries))
    return QueuedJob(record["id"], record["state"], record["item_ids"], limit_s)


def enqueue(container: Container, job: QueuedJob) -> Accepted:
    """Gives a queued job to the broker; if that is away, maintenance sends it later."""
    if job.state == "queued":
        container.queue.enqueue_if_reachable(JobMessage(job.id, job.limit_s))
    return Accepted(job_id=job.id, state=job.state, items=list(job.item_ids))
