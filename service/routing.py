"""Routes by the kind of body, and refuses query parameters that a route does not know.

JSON and multipart bodies have paths of their own. Where a path took both before, its multipart form is still answered
(`add_multipart_route`) and shown as deprecated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import Message, Scope

from mudar.errors import BadRequest
from mudar.library.serialization import check_json, is_text
from service.responses import Accepted
from service.uploads import receive_form

M = TypeVar("M", bound=BaseModel)


def _is_multipart(scope: Scope) -> bool:
    return scope["type"] == "http" and Headers(scope=scope).get("content-type", "").startswith("multipart/")


class MultipartRoute(APIRoute):
    """Matches multipart requests alone: others of the same path go to the next route."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette does, where the body is multipart."""
        return super().matches(scope) if _is_multipart(scope) else (Match.NONE, {})


class JsonRoute(APIRoute):
    """Takes a body that is not multipart as JSON, whatever it is declared to be; its text must be text."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a request whose body was read and is JSON."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            if _is_multipart(request.scope):
                return await handle(request)
            body = await request.body()
            _refuse_bad_text(body)
            headers = MutableHeaders(raw=list(request.scope["headers"]))
            headers["content-type"] = "application/json"

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handle(Request({**request.scope, "headers": headers.raw}, receive))

        return handle_json


def add_multipart_route(router: APIRouter, path: str, endpoint: Callable[..., Any]) -> None:
    """Answers multipart requests to `path`, where a JSON route of the same path is added later."""
    router.add_api_route(
        path, endpoint, methods=["POST"], status_code=202, response_model=Accepted, include_in_schema=False,
        route_class_override=MultipartRoute,
    )  # fmt: skip


def multipart(files: dict[str, str], fields: JsonSchemaValue | None = None, moved_to: str = "") -> JsonSchemaValue:
    """Describes a streamed multipart body for `openapi_extra`: files by name and meaning, and the fields beside them.

    moved_to: the route that takes this form now; it is then shown as deprecated beside the JSON body.
    """
    parts = {name: {"type": "string", "format": "binary", "description": what} for name, what in files.items()}
    schema: JsonSchemaValue = {"type": "object", "properties": {**parts, **(fields or {})}, "required": list(files)}
    if moved_to:
        schema |= {"deprecated": True, "description": f"Deprecated: send files to POST {moved_to}."}
    body = {"required": not moved_to, "content": {"multipart/form-data": {"schema": schema}}}
    return {"requestBody": body}


def either(query: M, body: M | None) -> M:
    """The fields of a request that come in the query or as a JSON body. BadRequest when they come in both."""
    if body is None:
        return query
    if query.model_fields_set:
        raise BadRequest("The fields come in the query and in the body.", hint="Give all of them in one place.")
    return body


def _refuse_bad_text(body: bytes) -> None:
    """Refuses JSON whose strings no database takes; what is no JSON at all is refused by FastAPI. BadRequest."""
    if b"\\u" not in body:  # only an escape can bring a NUL or a lone surrogate into valid JSON
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    check_json({"body": value}, "the body", max_bytes=len(body) * 2)


def upload_paths(routers: Iterable[APIRouter]) -> set[str]:
    """The paths of the routes that take a streamed multipart body."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return {route.path for route in routes if any(d.call is receive_form for d in route.dependant.dependencies)}


async def refuse_bad_parameters(request: Request) -> None:
    """Refuses parameters that are no text, and those of the query that the route does not declare. BadRequest."""
    given = [*request.path_params.values(), *(part for pair in request.query_params.multi_items() for part in pair)]
    if not all(is_text(str(value)) for value in given):
        raise BadRequest("A parameter holds a character that is not text.")
    unknown = request.query_params.keys() - set(_query_names(request.scope["route"].dependant))
    if unknown:
        text = "Extra inputs are not permitted"
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": text} for name in sorted(unknown)]
        )


def _query_names(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _query_names(dependency)
