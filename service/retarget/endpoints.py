"""Routes of POST /retarget and of what a retargeting leaves: video, report, time map."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from service.container import ContainerDep
from service.responses import Accepted, accepted
from service.retarget import service
from service.retarget.schemas import RetargetForm, RetargetRequest
from service.routing import JsonRoute, add_multipart_route, multipart
from service.uploads import FormDep

router = APIRouter(tags=["retarget"], route_class=JsonRoute)
FILES, OPTIONS = {"dance": "a video", "music": "a piece of music"}, RetargetForm.model_json_schema()["properties"]
VIDEO_HEADERS = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
MEDIA_TYPES = {"otio": "application/json", "json": "application/json"}


@router.post("/retarget/files", status_code=202, openapi_extra=multipart(FILES, OPTIONS))
def post_retarget_files(form: FormDep, response: Response, container: ContainerDep) -> Accepted:
    """Warp a dance onto another song's beat, with both files; they become items."""
    return accepted(response, service.retarget_files(container, form))


add_multipart_route(router, "/retarget", post_retarget_files)


@router.post("/retarget", status_code=202, openapi_extra=multipart(FILES, OPTIONS, moved_to="/retarget/files"))
def post_retarget(request: RetargetRequest, response: Response, container: ContainerDep) -> Accepted:
    """Warp a dance's time so that its strokes land on another song's beat, by the ids of both."""
    return accepted(response, service.retarget(container, request))


@router.head("/videos/{job_id}.mp4", include_in_schema=False)
@router.get("/videos/{job_id}.mp4", response_class=FileResponse)
def get_video(job_id: str, container: ContainerDep) -> FileResponse:
    """The video of a retargeting job; answers Range, so that a player can seek."""
    return FileResponse(service.find_video(container, job_id), media_type="video/mp4", headers=VIDEO_HEADERS)


@router.get("/videos/{job_id}/report.png", response_class=FileResponse)
def get_report(job_id: str, container: ContainerDep) -> FileResponse:
    """The report of a retargeting job as a picture."""
    return FileResponse(service.find_report(container, job_id), media_type="image/png")


@router.get("/videos/{job_id}/export", response_class=Response)
def get_export(job_id: str, container: ContainerDep, form: Annotated[str, Query(alias="format")] = "otio") -> Response:
    """The time map and the markers of a retargeting: `format` = csv, markers.csv, json or otio."""
    text = service.export_job(container, job_id, form)
    headers = {"content-disposition": f'attachment; filename="{job_id}.{form}"'}
    return Response(text, media_type=MEDIA_TYPES.get(form, "text/csv"), headers=headers)
