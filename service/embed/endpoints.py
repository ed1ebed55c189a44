"""POST /embed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from service.container import ContainerDep
from service.embed.service import embed, embed_all
from service.responses import accepted, multipart
from service.schemas import Accepted, AllAccepted
from service.uploads import receive

router = APIRouter(tags=["embed"])

BODY = multipart(
    {"file": "a dance (video) or a piece of music; may come several times"},
    kind={"type": "string", "enum": ["dance", "music", "both"], "description": "default: dance if it has a picture"},
    title={"type": "string"},
    labels={"type": "array", "items": {"type": "string"}},
    metadata={"type": "string", "description": "a JSON object"},
    model={"type": "string", "description": "name, name@alias or name@version; default: the served one"},
)


@router.post(
    "/embed",
    status_code=202,
    response_model=Accepted | AllAccepted,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": BODY}}},
)
async def post_embed(request: Request, response: Response, container: ContainerDep) -> dict[str, Any]:
    """Put a dance or a piece of music into the library; the same bytes again are the same item, and no new work.

    One file is answered with its job; several with `jobs`, one entry a file: its job, or the problem with it.
    """
    async with receive(request, container.blobs, container.settings.max_upload_bytes) as form:
        if len(form.every("file")) > 1:
            return {"jobs": await run_in_threadpool(embed_all, container, form)}
        return accepted(response, await run_in_threadpool(embed, container, form))
