"""Routes of POST /retrieve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.container import ContainerDep
from service.responses import Accepted, accepted
from service.retrieve import service
from service.retrieve.schemas import RetrieveRequest, SearchOptions, SearchResults
from service.routing import JsonRoute, add_multipart_route, either, multipart
from service.uploads import FormDep

router = APIRouter(tags=["retrieve"], route_class=JsonRoute)
FILES = {"file": "a dance or a piece of music to search with; it does not become an item"}
BY_FILE = {"model": Accepted, "description": "Searching with a file: the job's result has the same shape."}


async def retrieve_request(
    query: Annotated[RetrieveRequest, Query()], body: RetrieveRequest | None = None
) -> RetrieveRequest:
    """The fields of the query or of the body."""
    return either(query, body)


@router.post("/retrieve/file", status_code=202, openapi_extra=multipart(FILES))
def post_retrieve_file(
    options: Annotated[SearchOptions, Query()], form: FormDep, response: Response, container: ContainerDep
) -> Accepted:
    """What fits a file that does not become an item."""
    return accepted(response, service.retrieve_by_file(container, form, options))


add_multipart_route(router, "/retrieve", post_retrieve_file)


@router.post(
    "/retrieve",
    responses={202: BY_FILE},
    response_model_exclude_unset=True,
    openapi_extra=multipart(FILES, moved_to="/retrieve/file"),
)
async def post_retrieve(
    request: Annotated[RetrieveRequest, Depends(retrieve_request)], container: ContainerDep
) -> SearchResults:
    """What fits: dances for `music_id`, music for `dance_id`; the fields come in the query or as a JSON body."""
    return await service.retrieve(container, request)
