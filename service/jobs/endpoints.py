"""Jobs: look, wait, follow, cancel."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from mudar.library import jobs
from mudar.library.tables import END_STATES
from service.container import Container, ContainerDep
from service.errors import problem_of_job
from service.jobs import submit
from service.jobs.events import changed
from service.responses import accepted
from service.schemas import Accepted, Job, Jobs, JobState

router = APIRouter(tags=["jobs"])
noop_router = APIRouter(include_in_schema=False)


def look(container: Container, job_id: str) -> dict[str, Any]:
    """The job as the database has it, its error in the form of a problem."""
    with container.database.read() as session:
        return _shown(jobs.get_job(session, job_id))


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in job.items() if key not in ("blobs", "created")}
    return {**shown, "error": problem_of_job(job["error"])}


@router.get("/jobs", response_model=Jobs)
def list_jobs(
    container: ContainerDep,
    state: JobState | None = None,
    kind: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The newest jobs first."""
    with container.database.read() as session:
        page = jobs.list_jobs(session, state=state, kind=kind, cursor=cursor, limit=limit)
    return {"jobs": [_shown(job) for job in page.items], "next_cursor": page.next_cursor}


@router.get("/jobs/{job_id}", response_model=Job)
async def get_job(
    job_id: str, container: ContainerDep, wait: Annotated[float, Query(ge=0, le=60)] = 0
) -> dict[str, Any]:
    """One job; `wait` holds the answer until it ends, or that many seconds at most."""
    deadline = time.monotonic() + wait
    with container.events.watch(job_id) as event:
        while True:
            job = await run_in_threadpool(look, container, job_id)
            left_s = deadline - time.monotonic()
            if job["state"] in END_STATES or left_s <= 0:
                return job
            await changed(event, left_s)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def get_events(job_id: str, container: ContainerDep) -> StreamingResponse:
    """Server-sent events: `progress` with the job as JSON whenever it changes, then one `end`."""
    await run_in_threadpool(look, container, job_id)  # an unknown job is a 404, not an empty stream
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_events(container, job_id), media_type="text/event-stream", headers=headers)


async def _events(container: Container, job_id: str) -> AsyncIterator[str]:
    told, spoke_at = None, time.monotonic()
    with container.events.watch(job_id) as event:
        while True:
            job = await run_in_threadpool(look, container, job_id)
            ended = job["state"] in END_STATES
            if job != told:
                told, spoke_at = job, time.monotonic()
                yield f"event: {'end' if ended else 'progress'}\ndata: {json.dumps(job)}\n\n"
            elif time.monotonic() - spoke_at > container.settings.keepalive_s:
                spoke_at = time.monotonic()
                yield ": still here\n\n"
            if ended:
                return
            await changed(event, container.settings.keepalive_s)


@router.delete("/jobs/{job_id}", response_model=Job)
def delete_job(job_id: str, container: ContainerDep) -> dict[str, Any]:
    """Cancel: a queued job at once, a running one at its next heartbeat; an ended job stays as it is."""
    with container.database.begin() as session:
        job = jobs.cancel(session, job_id)
    container.queue.announce(job_id, job["state"])
    return _shown(job)


@noop_router.post("/jobs/noop", status_code=202, response_model=Accepted)
def post_noop(
    response: Response, container: ContainerDep, sleep_s: Annotated[float, Query(ge=0, le=600)] = 0, limit_s: float = 60
) -> dict[str, Any]:
    """A job that does nothing (for `sleep_s`), to measure what a request costs and to try what may go wrong."""
    with container.database.begin() as session:
        params = {"sleep_s": sleep_s, "limit_s": limit_s}
        job = jobs.create_job(session, "noop", params, max_attempts=container.settings.max_attempts)
    return accepted(response, submit.enqueue(container, {**job, "limit_s": limit_s}))
