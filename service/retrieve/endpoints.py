"""POST /retrieve."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from mudar.library.search.search import Filters
from service.container import Container, ContainerDep
from service.responses import accepted, multipart
from service.retrieve import service as retrieve
from service.retrieve.search import Asked, Wanted
from service.schemas import Accepted, Matches
from service.uploads import receive

Bound = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]
router = APIRouter(tags=["retrieve"])
BODY = multipart({"file": "a dance or a piece of music to search with; it does not become an item"})


@router.post(
    "/retrieve",
    response_model=Matches,
    responses={202: {"model": Accepted, "description": "Searching with a file: the job's result has the same shape."}},
    openapi_extra={"requestBody": {"required": False, "content": {"multipart/form-data": BODY}}},
)
async def post_retrieve(
    request: Request,
    container: ContainerDep,
    music_id: str | None = None,
    dance_id: str | None = None,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    lam: Annotated[float | None, Query(alias="lambda", ge=0, le=1, allow_inf_nan=False)] = None,
    label: Annotated[list[str] | None, Query()] = None,
    model: str | None = None,
    exclude: Annotated[list[str] | None, Query(description="Ids of items that must not be found.")] = None,
    min_tempo_bpm: Bound = None,
    max_tempo_bpm: Bound = None,
    min_duration_s: Bound = None,
    max_duration_s: Bound = None,
    offset: Annotated[int, Query(ge=0, le=900, description="How many better ones to leave out: paging.")] = 0,
) -> Any:
    """What fits: dances for `music_id`, music for `dance_id`; or search with a file that is not stored."""
    ranges = ((min_tempo_bpm, max_tempo_bpm), (min_duration_s, max_duration_s))
    asked = Asked(k, lam, model, Filters(label or [], *ranges, exclude or ()), offset)
    if not request.headers.get("content-type", "").startswith("multipart/"):
        wanted = retrieve.wanted(music_id, dance_id, asked)
        # As it is: to check what we made ourselves would cost more than to find it.
        return JSONResponse(await _found(container, wanted))
    async with receive(request, container.blobs, container.settings.max_upload_bytes) as form:
        held = Response()
        body = accepted(held, await run_in_threadpool(retrieve.by_file, container, form, asked))
    return JSONResponse(body, status_code=202, headers={"location": held.headers["location"]})


async def _found(container: Container, wanted: Wanted) -> Any:
    """Filters are looked up one question at a time, beside the batches: one may take longer than many without."""
    if wanted.asked.filters.all_pass:
        return await container.together.ask(wanted)
    return await to_thread.run_sync(container.search.by_item, wanted, limiter=container.searching)
