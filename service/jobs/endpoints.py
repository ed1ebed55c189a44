"""Routes of jobs: read, wait, follow, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from mudar.library.tables import END_STATES
from service.container import Container, ContainerDep
from service.jobs import service
from service.jobs.schemas import Job, Jobs
from service.responses import Accepted, JobState, accepted

router = APIRouter(tags=["jobs"])
noop_router = APIRouter(include_in_schema=False)


@router.get("/jobs")
def list_jobs(
    container: ContainerDep,
    state: JobState | None = None,
    kind: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Jobs:
    """The newest jobs first."""
    return service.list_jobs(container, state, kind, cursor, limit)


@router.get("/jobs/{job_id}")
async def get_job(job_id: str, container: ContainerDep, wait: Annotated[float, Query(ge=0, le=60)] = 0) -> Job:
    """One job; `wait` holds the answer until it ends, or that many seconds at most."""
    return await service.wait_for_job(container, job_id, wait)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
async def get_events(job_id: str, container: ContainerDep) -> StreamingResponse:
    """Server-sent events: `progress` with the job as JSON whenever it changes, then one `end`."""
    await run_in_threadpool(service.get_job, container, job_id)  # an unknown job is a 404, not an empty stream
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(_events(container, job_id), media_type="text/event-stream", headers=headers)


async def _events(container: Container, job_id: str) -> AsyncIterator[str]:
    async for job in service.job_changes(container, job_id):
        if job is None:
            yield ": still here\n\n"
        else:
            name = "end" if job.state in END_STATES else "progress"
            yield f"event: {name}\ndata: {job.model_dump_json()}\n\n"


@router.delete("/jobs/{job_id}")
def delete_job(job_id: str, container: ContainerDep) -> Job:
    """Cancel: a queued job at once, a running one at its next heartbeat; an ended job stays as it is."""
    return service.cancel_job(container, job_id)


@noop_router.post("/jobs/noop", status_code=202)
def post_noop(
    response: Response, container: ContainerDep, sleep_s: Annotated[float, Query(ge=0, le=600)] = 0, limit_s: float = 60
) -> Accepted:
    """A job that does nothing (for `sleep_s`), to measure what a request costs and to try what may go wrong."""
    return accepted(response, service.submit_noop(container, sleep_s, limit_s))
