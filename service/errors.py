"""Answers errors as application/problem+json (RFC 9457). The one file that knows which HTTP status an error means.

Each answer has type, title, status, detail, and ours: `code` (stable), `hint` (what to do). A failed job's error has
the same form. Never a stack trace: what we did not foresee is logged here and answered with its reference.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from mudar import errors

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_ECHO = 200  # characters of a detail, which may repeat what was sent
MAX_FAULTS = 20  # of one request that are listed
RETRY_AFTER_S = 15  # what is told with every 503: none of them lasts

STATUS: dict[type[errors.MudarError], int] = {
    errors.MudarError: 500,
    errors.MediaError: 422,
    errors.UploadTooLarge: 413,
    errors.UnreadableMedia: 415,
    errors.ProbeFailed: 500,
    errors.ProbeTimeout: 503,
    errors.BadRequest: 422,
    errors.UnknownItem: 404,
    errors.UnknownJob: 404,
    errors.UnknownModel: 404,
    errors.NotReady: 409,
    errors.EmptyLibrary: 409,
    errors.NoIndex: 409,
    errors.RetargetRefused: 422,
    errors.ModelError: 503,
    errors.UnreadableItem: 500,
    errors.JobError: 500,
    errors.Cancelled: 409,
    errors.ItemDeleted: 410,
    errors.JobTimeout: 504,
    errors.StorageFull: 507,
    errors.BrokerUnavailable: 503,
    errors.IndexUnavailable: 503,
}


class Problem(BaseModel):
    """Says why not: RFC 9457, with a stable `code` and what to do about it."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


class Fault(BaseModel):
    """Names one parameter that was refused, and why."""

    where: str
    what: str


class ValidationProblem(Problem):
    """Lists every parameter that was refused."""

    errors: list[Fault]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Refused: `code` says why, `hint` what to do."},
}


def status_of(error: errors.MudarError) -> int:
    """The status of the nearest class of the tree that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: errors.MudarError) -> Problem:
    """The body for one of our errors."""
    title = (type(error).__doc__ or error.code).strip().splitlines()[0]
    return _problem(error.code, title, status_of(error), error.detail, error.hint)


def problem_of_job(error: Mapping[str, Any] | None) -> Problem | None:
    """A job's stored error (code, detail, hint) in the same form as a refused request."""
    if not error:
        return None
    return problem(errors.from_code(str(error.get("code")), str(error.get("detail", "")), str(error.get("hint", ""))))


def _problem(code: str, title: str, status: int, detail: str, hint: str) -> Problem:
    return Problem(type=f"urn:mudar:problem:{code}", title=title, status=status, code=code, detail=detail, hint=hint)


def respond(body: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The body as a response with its own status."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if body.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return JSONResponse(body.model_dump(), body.status, {**retry, **(headers or {})}, media_type=MEDIA_TYPE)


def on_mudar_error(request: Request, error: Exception) -> JSONResponse:
    """Answers one of our own errors."""
    assert isinstance(error, errors.MudarError)
    body = problem(error)
    return respond(body.model_copy(update={"detail": _shortened(body.detail)}))


def _fault(error: Mapping[str, Any]) -> Fault:
    where = ".".join(str(part) for part in error["loc"])
    return Fault(where=_shortened(where, MAX_ECHO // 4), what=_shortened(str(error["msg"])))


def _shortened(text: str, longest: int = MAX_ECHO) -> str:
    """The text without its middle where it is long, and fit to be sent: it may repeat what somebody sent us."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-(longest // 2 - 1) :]}"


def on_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Answers parameters that FastAPI refused: `out_of_range` for numbers out of bounds, else `bad_request`."""
    assert isinstance(error, RequestValidationError)
    faults = [_fault(e) for e in error.errors()[:MAX_FAULTS]]
    bounds = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
    all_bounds = all(e["type"] in bounds for e in error.errors())
    kind = errors.OutOfRange if all_bounds else errors.BadRequest
    body = problem(kind("; ".join(f"{fault.where}: {fault.what}" for fault in faults)))
    body.detail = _shortened(body.detail)
    return respond(ValidationProblem(**body.model_dump(), errors=faults))


def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answers what the framework refuses: no such path, method not allowed."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_")
    return respond(_problem(code, title, error.status_code, error.detail, "See /docs for the calls."), error.headers)


def on_anything_else(request: Request, error: Exception) -> JSONResponse:
    """Answers a fault of ours: it is logged with a reference, which is all that the caller is told."""
    reference = uuid.uuid4().hex[:12]
    log.error("unforeseen error %s at %s %s", reference, request.method, request.url.path, exc_info=error)
    detail, hint = f"Something went wrong on our side (reference {reference}).", "Try again; report it if it stays."
    # The server closes the connection after such a fault; the client must know, or its next request meets a reset.
    return respond(_problem("internal_error", "Internal error", 500, detail, hint), {"connection": "close"})


def install(app: FastAPI) -> None:
    """Registers the handlers, once."""
    app.add_exception_handler(errors.MudarError, on_mudar_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_anything_else)
