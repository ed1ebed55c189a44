"""POST /retarget."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from service.container import ContainerDep
from service.responses import accepted, multipart
from service.retarget import service as retarget
from service.schemas import Accepted, RetargetOptions, RetargetRequest
from service.uploads import receive, small_body

router = APIRouter(tags=["retarget"])

OPTIONS = RetargetOptions.model_json_schema()["properties"]
CONTENT = {
    "application/json": {"schema": RetargetRequest.model_json_schema()},
    "multipart/form-data": multipart({"dance": "a video", "music": "a piece of music"}, **OPTIONS),
}


@router.post(
    "/retarget",
    status_code=202,
    response_model=Accepted,
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)
async def post_retarget(request: Request, response: Response, container: ContainerDep) -> dict[str, Any]:
    """Warp a dance's time so that its strokes land on another song's beat; by ids, or with both files."""
    try:
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with receive(request, container.blobs, container.settings.max_upload_bytes) as form:
                return accepted(response, await run_in_threadpool(retarget.uploaded, container, form))
        asked = RetargetRequest.model_validate_json(await small_body(request))
        return accepted(response, await run_in_threadpool(retarget.stored, container, asked))
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error
