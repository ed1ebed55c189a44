"""From a wish to a job: written in the caller's transaction, sent to the queue after it. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mudar.library import jobs
from mudar.library.db import Session
from service.container import Container
from service.jobs.queue import JobMessage


@dataclass(frozen=True)
class JobSpec:
    """A job to be. `key` names the work, so that a wish made twice is one job; `media_s`: how long it may take."""

    kind: str
    params: dict[str, Any]
    media_s: float = 0.0
    item_ids: Sequence[str] = ()
    key: str | None = None
    blobs: Mapping[str, str] = field(default_factory=dict)


def create_job(container: Container, session: Session, wish: JobSpec) -> dict[str, Any]:
    """The job's row, in the transaction that also writes what it is about."""
    told = container.settings
    params = {**wish.params, "limit_s": told.limit_s(wish.media_s)}
    return jobs.create_job(
        session,
        wish.kind,
        params,
        wish.item_ids,
        key=wish.key,
        blobs=wish.blobs,
        max_attempts=told.max_attempts,
    ) | {"limit_s": params["limit_s"]}


def enqueue(container: Container, job: dict[str, Any]) -> dict[str, Any]:
    """Give a queued job to the broker; if that is away, the sweeper does it later. Returns the job."""
    if job["state"] == "queued":
        container.queue.offer(JobMessage(job["id"], job["limit_s"]))
    return job
