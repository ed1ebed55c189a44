"""Routes of POST /soundtrack and POST /sync: music for a dance, and whether its own is in time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.container import ContainerDep
from service.responses import Accepted, accepted
from service.routing import JsonRoute, add_multipart_route, either, multipart
from service.soundtrack import service
from service.soundtrack.schemas import SoundtrackRequest, SyncOptions, SyncRequest
from service.uploads import FormDep

router = APIRouter(tags=["retarget"], route_class=JsonRoute)
FILES = {"file": "a video with sound; it becomes an item"}


async def sync_request(query: Annotated[SyncRequest, Query()], body: SyncRequest | None = None) -> SyncRequest:
    """The fields of the query or of the body."""
    return either(query, body)


@router.post("/soundtrack", status_code=202)
def post_soundtrack(request: SoundtrackRequest, response: Response, container: ContainerDep) -> Accepted:
    """The k songs that fit a dance best, in the order of how well it warps onto them; the first one is rendered."""
    return accepted(response, service.soundtrack(container, request))


@router.post("/sync/file", status_code=202, openapi_extra=multipart(FILES))
def post_sync_file(
    options: Annotated[SyncOptions, Query()], form: FormDep, response: Response, container: ContainerDep
) -> Accepted:
    """By how much a clip's picture is late against its own sound, of a file that becomes an item."""
    return accepted(response, service.sync_file(container, form, options))


add_multipart_route(router, "/sync", post_sync_file)


@router.post("/sync", status_code=202, openapi_extra=multipart(FILES, moved_to="/sync/file"))
def post_sync(
    request: Annotated[SyncRequest, Depends(sync_request)], response: Response, container: ContainerDep
) -> Accepted:
    """By how much a clip's picture is late against its own sound, how sure; `fix` gives the file with it put right."""
    return accepted(response, service.sync(container, request))
