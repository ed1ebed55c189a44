"""POST /soundtrack and POST /sync: music for a dance, and whether its own is in time."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from mudar.errors import BadRequest
from service.container import ContainerDep
from service.responses import accepted, multipart
from service.schemas import Accepted, SoundtrackRequest
from service.soundtrack import service as soundtrack
from service.uploads import receive

router = APIRouter(tags=["retarget"])
BODY = multipart({"file": "a video with sound; it becomes an item"})


@router.post("/soundtrack", status_code=202, response_model=Accepted)
def post_soundtrack(asked: SoundtrackRequest, response: Response, container: ContainerDep) -> dict[str, Any]:
    """The k songs that fit a dance best, in the order of how well it warps onto them; the first one is rendered."""
    return accepted(response, soundtrack.soundtrack(container, asked))


@router.post(
    "/sync",
    status_code=202,
    response_model=Accepted,
    openapi_extra={"requestBody": {"required": False, "content": {"multipart/form-data": BODY}}},
)
async def post_sync(
    request: Request, response: Response, container: ContainerDep, item_id: str | None = None, fix: bool = False
) -> dict[str, Any]:
    """By how much a clip's picture is late against its own sound, how sure; `fix` gives the file with it put right."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with receive(request, container.blobs, container.settings.max_upload_bytes) as form:
            return accepted(response, await run_in_threadpool(soundtrack.sync_upload, container, form, fix))
    if item_id is None:
        raise BadRequest("Give item_id, or a multipart file.")
    return accepted(response, await run_in_threadpool(soundtrack.sync, container, item_id, fix))
