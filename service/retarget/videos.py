"""GET /videos/{id}.mp4: what a retargeting made."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from mudar.errors import NotReady, UnknownJob
from mudar.library import jobs
from service.container import ContainerDep

router = APIRouter(tags=["retarget"])
HEADERS = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


@router.head("/videos/{job_id}.mp4", include_in_schema=False)
@router.get("/videos/{job_id}.mp4", response_class=FileResponse)
def get_video(job_id: str, container: ContainerDep) -> FileResponse:
    """The video of a retargeting job; answers Range, so that a player can seek."""
    with container.database.read() as session:
        job = jobs.get_job(session, job_id)
    if job["kind"] not in ("retarget", "soundtrack", "sync") or (job["result"] or {}).get("dry_run"):
        raise UnknownJob(f"Job {job_id} makes no video.")
    if "video" not in job["blobs"]:
        raise NotReady(f"The video of job {job_id} is not there; the job is {job['state']}.")
    path = container.blobs.path(job["blobs"]["video"])
    return FileResponse(path, media_type="video/mp4", headers=HEADERS)
