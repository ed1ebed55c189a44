"""What else a retargeting leaves: its report as a picture, its map and markers for other programs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from mudar.errors import NotReady, UnknownJob
from mudar.library import jobs
from mudar.retarget.report.export import export
from service.container import Container, ContainerDep

router = APIRouter(tags=["retarget"])
MEDIA_TYPES = {"otio": "application/json", "json": "application/json"}


@router.get("/videos/{job_id}/report.png", response_class=FileResponse)
def get_report(job_id: str, container: ContainerDep) -> FileResponse:
    """The report of a retargeting job as a picture."""
    job = _rendered(container, job_id)
    if "report" not in job["blobs"]:
        raise NotReady(f"Job {job_id} drew no report.")
    return FileResponse(container.blobs.path(job["blobs"]["report"]), media_type="image/png")


@router.get("/videos/{job_id}/export", response_class=Response)
def get_export(job_id: str, container: ContainerDep, form: Annotated[str, Query(alias="format")] = "otio") -> Response:
    """The time map and the markers of a retargeting: `format` = csv, markers.csv, json or otio."""
    job = _rendered(container, job_id)
    names = [f"/items/{item_id}/media" for item_id in job["item_ids"]]
    text = export(job["result"]["report"], form, names[0], names[-1])
    headers = {"content-disposition": f'attachment; filename="{job_id}.{form}"'}
    return Response(text, media_type=MEDIA_TYPES.get(form, "text/csv"), headers=headers)


def _rendered(container: Container, job_id: str) -> dict[str, Any]:
    """The finished job that made a video. UnknownJob, NotReady."""
    with container.database.read() as session:
        job = jobs.get_job(session, job_id)
    if job["kind"] not in ("retarget", "soundtrack") or (job["result"] or {}).get("dry_run"):
        raise UnknownJob(f"Job {job_id} makes no video.")
    if job["state"] != "done":
        raise NotReady(f"Job {job_id} is {job['state']}.")
    return job
