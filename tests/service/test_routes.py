"""What each route takes: query parameters, JSON and files, and no parameter that it does not know."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service import openapi

OPENAPI = openapi.PATH.read_text()


def test_the_committed_openapi_is_the_live_one() -> None:
    """After a change: `python -m service.openapi`."""
    assert openapi.describe() == OPENAPI


def test_every_route_refuses_a_query_parameter_that_it_does_not_know(api: Any) -> None:
    paths: dict[str, Any] = api.http.get("/openapi.json").json()["paths"]
    calls = [(method, path) for path, methods in paths.items() for method in methods]
    assert len(calls) > 20
    for method, path in [*calls, ("post", "/jobs/noop"), ("get", "/metrics")]:
        answer = api.http.request(method, path.format(item_id="dance-1", job_id="embed-1"), params={"colour": "red"})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"] == [{"where": "query.colour", "what": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"dance_id": "dance-none"}, 404, "unknown_item"),
        ({"dance_id": "dance-none", "k": 0}, 422, "out_of_range"),
        ({"dance_id": "dance-none", "lambda": 2}, 422, "out_of_range"),
        ({"dance_id": "dance-none", "min_tempo_bpm": 120, "max_tempo_bpm": 90}, 422, "out_of_range"),
        ({"dance_id": "dance-none", "colour": "red"}, 422, "bad_request"),
        ({"dance_id": "dance-none", "music_id": "music-none"}, 422, "bad_request"),
        ({}, 422, "bad_request"),
    ],
)
def test_a_search_takes_its_fields_in_the_query_or_as_json(
    api: Any, fields: dict[str, Any], status: int, code: str
) -> None:
    for answer in (api.http.post("/retrieve", params=fields), api.http.post("/retrieve", json=fields)):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_fields_in_both_places_are_refused(api: Any) -> None:
    for path, field in (("/retrieve", "dance_id"), ("/sync", "item_id")):
        answer = api.http.post(path, params={field: "dance-none"}, json={field: "dance-none"})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
        assert "body" in answer.json()["detail"]


def test_json_is_taken_whatever_it_is_declared_to_be(api: Any) -> None:
    """As `curl -d` sends it."""
    body, headers = '{"dance_id": "dance-none"}', {"content-type": "application/x-www-form-urlencoded"}
    assert api.http.post("/retrieve", content=body, headers=headers).json()["code"] == "unknown_item"


@pytest.mark.parametrize(
    ("path", "moved_to", "names"),
    [
        ("/retrieve", "/retrieve/file", ["file"]),
        ("/retarget", "/retarget/files", ["dance", "music"]),
        ("/sync", "/sync/file", ["file"]),
    ],
)
def test_files_have_a_route_of_their_own_and_the_old_form_still_works(
    api: Any, files: dict[str, bytes], path: str, moved_to: str, names: list[str]
) -> None:
    operations = api.http.get("/openapi.json").json()["paths"]
    old, new = (
        operations[at]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"] for at in (path, moved_to)
    )
    assert old["deprecated"]
    assert moved_to in old["description"]
    assert "deprecated" not in new
    assert old["properties"].keys() == new["properties"].keys() >= set(names)

    def send(at: str, **options: Any) -> httpx.Response:
        parts = {name: (f"{name}.mp4", files["dance"]) for name in names}
        return api.http.post(at, files=parts, **options)  # type: ignore[no-any-return]

    for at in (path, moved_to):
        accepted = send(at)
        assert accepted.status_code == 202, accepted.text
        assert accepted.headers["location"] == f"/jobs/{accepted.json()['job_id']}"
        unknown = send(at, params={"colour": "red"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "bad_request")
    missing = api.http.post(moved_to, files={"other": ("a.mp4", files["dance"])})
    assert (missing.status_code, missing.json()["code"]) == (422, "bad_request")


def test_fields_of_a_form_count_where_the_query_has_none(api: Any, files: dict[str, bytes]) -> None:
    def params_of(**how: Any) -> dict[str, Any]:
        answer = api.http.post("/retrieve/file", files={"file": ("a.mp4", files["dance"])}, **how)
        with api.container.database.read() as session:
            row = session.exec_driver_sql("SELECT params FROM jobs WHERE id = ?", (answer.json()["job_id"],))
            return dict(json.loads(row.scalar_one()))

    in_form = params_of(data={"k": "3", "lambda": "0.25", "label": ["a", "b"]})
    assert (in_form["k"], in_form["lambda"], in_form["label"]) == (3, 0.25, ["a", "b"])
    in_both = params_of(data={"k": "3", "lambda": "0.25"}, params={"k": 7})
    assert (in_both["k"], in_both["lambda"], in_both["label"]) == (7, 0.25, [])
    for wrong, code in (
        ({"k": "many"}, "bad_request"),
        ({"k": "0"}, "out_of_range"),
        ({"lambda": "2"}, "out_of_range"),
    ):
        answer = api.http.post("/retrieve/file", files={"file": ("a.mp4", files["dance"])}, data=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
