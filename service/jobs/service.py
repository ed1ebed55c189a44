"""Reads, follows and cancels jobs. Knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from mudar.library import jobs
from mudar.library.jobs import JobSpec
from mudar.library.tables import END_STATES
from service.container import Container
from service.errors import problem_of_job
from service.jobs import submit
from service.jobs.events import changed
from service.jobs.schemas import Job, Jobs
from service.responses import Accepted, JobState


def get_job(container: Container, job_id: str) -> Job:
    """The job as the database has it. UnknownJob."""
    with container.database.read() as session:
        return _job(jobs.get_job(session, job_id))


def list_jobs(container: Container, state: JobState | None, kind: str | None, cursor: str | None, limit: int) -> Jobs:
    """One page of jobs, the newest first."""
    with container.database.read() as session:
        page = jobs.list_jobs(session, state=state, kind=kind, cursor=cursor, limit=limit)
    return Jobs(jobs=[_job(record) for record in page.items], next_cursor=page.next_cursor)


def cancel_job(container: Container, job_id: str) -> Job:
    """Cancels a queued job at once and asks a running one to stop. UnknownJob."""
    with container.database.begin() as session:
        job = _job(jobs.cancel(session, job_id))
    container.queue.announce(job_id, job.state)
    return job


async def wait_for_job(container: Container, job_id: str, wait_s: float) -> Job:
    """The job once it ended, or as it is after so many seconds. UnknownJob."""
    deadline = time.monotonic() + wait_s
    with container.events.watch(job_id) as event:
        while True:
            job = await run_in_threadpool(get_job, container, job_id)
            left_s = deadline - time.monotonic()
            if job.state in END_STATES or left_s <= 0:
                return job
            await changed(event, left_s)


async def job_changes(container: Container, job_id: str) -> AsyncIterator[Job | None]:
    """Yields the job whenever it changed, at last when it ended; None when nothing happened for a while."""
    latest: Job | None = None
    yielded_at, quiet_s = time.monotonic(), container.settings.keepalive_s
    with container.events.watch(job_id) as event:
        while True:
            job = await run_in_threadpool(get_job, container, job_id)
            if job != latest or time.monotonic() - yielded_at > quiet_s:
                yield job if job != latest else None
                latest, yielded_at = job, time.monotonic()
            if job.state in END_STATES:
                return
            await changed(event, quiet_s)


def submit_noop(container: Container, sleep_s: float, limit_s: float) -> Accepted:
    """Queues a job that sleeps."""
    with container.database.begin() as session:
        job = submit.create_job(container, session, JobSpec("noop", {"sleep_s": sleep_s}), 0, limit_s)
    return submit.enqueue(container, job)


def _job(record: Mapping[str, Any]) -> Job:
    return Job.model_validate({**record, "error": problem_of_job(record["error"])})
