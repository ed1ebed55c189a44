"""Every refusal is problem+json with a stable code, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mudar import errors
from service.errors import problem, problem_of_job, respond, status_of


def leaves(kind: type[errors.MudarError] = errors.MudarError) -> Iterator[type[errors.MudarError]]:
    """Every class of the tree."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from leaves(below)


@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_meaning_over_http(kind: type[errors.MudarError]) -> None:
    body = problem(kind("because of this", hint="do that"))
    assert (body.code, body.detail, body.hint) == (kind.code, "because of this", "do that")
    assert 400 <= body.status <= 599
    assert body.title
    assert body.type.endswith(kind.code)


def test_what_the_caller_did_is_4xx() -> None:
    assert all(400 <= status_of(kind("")) < 500 for kind in leaves(errors.MediaError))
    assert all(400 <= status_of(kind("")) < 500 for kind in leaves(errors.BadRequest))


def test_a_failed_job_says_why_in_the_same_form() -> None:
    stored = {"code": "silent_audio", "detail": "no sound", "hint": "check"}
    assert problem_of_job(stored) == problem(errors.SilentAudio("no sound", hint="check"))
    assert problem_of_job(None) is None


def test_a_busy_machine_is_told_when_to_ask_again() -> None:
    answer = respond(problem(errors.ProbeTimeout("Looking took long.")))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "retry-after" not in respond(problem(errors.UnreadableMedia("no"))).headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/items/dance-nothing", 404, "unknown_item"),
        ("DELETE", "/items/dance-nothing", 404, "unknown_item"),
        ("GET", "/items/dance-nothing/media", 404, "unknown_item"),
        ("GET", "/jobs/nothing", 404, "unknown_job"),
        ("GET", "/jobs/nothing?wait=30", 404, "unknown_job"),
        ("GET", "/jobs/nothing/events", 404, "unknown_job"),
        ("DELETE", "/jobs/nothing", 404, "unknown_job"),
        ("GET", "/jobs/nothing?wait=61", 422, "out_of_range"),
        ("GET", "/videos/nothing.mp4", 404, "unknown_job"),
        ("GET", "/videos/..%2f..%2fetc.mp4", 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/items", 405, "method_not_allowed"),
        ("GET", "/items?limit=0", 422, "out_of_range"),
        ("GET", "/items?kind=song", 422, "bad_request"),
        ("GET", "/items?cursor=nonsense", 422, "bad_request"),
        ("POST", "/retrieve", 422, "bad_request"),
        ("POST", "/retrieve?music_id=a&dance_id=b", 422, "bad_request"),
        ("POST", "/retrieve?music_id=a&k=0", 422, "out_of_range"),
        ("POST", "/retrieve?music_id=a&k=101", 422, "out_of_range"),
        ("POST", "/retrieve?music_id=a&k=many", 422, "bad_request"),
        ("POST", "/retrieve?music_id=a&lambda=2", 422, "out_of_range"),
        ("POST", "/retrieve?music_id=a&lambda=-0.1", 422, "out_of_range"),
        ("POST", "/retrieve?music_id=a&lambda=nan", 422, "out_of_range"),
        ("POST", "/embed", 422, "bad_request"),
        ("POST", "/retarget", 422, "bad_request"),
    ],
)
def test_refused_questions(api: Any, method: str, path: str, status: int, code: str) -> None:
    answer = api.http.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["status"] == status
    assert answer.json()["detail"]
    assert answer.json()["hint"]


def test_what_nobody_foresaw_shows_no_trace(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr("mudar.library.items.list_items", broken)
    answer = api.http.get("/items")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
