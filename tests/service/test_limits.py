"""What is too large, too many or no text is refused in words: never parsed, never echoed, never a 500."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

MULTIPART = {"content-type": "multipart/form-data; boundary=xx"}


@pytest.fixture(scope="module")
def postgres_api(
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    settings: Any,
    run_api: Callable[[Any], AbstractContextManager[Any]],
) -> Iterator[Any]:
    """An API on PostgreSQL, for all tests of this file."""
    data: Path = tmp_path_factory.mktemp("limits")
    with run_api(settings.model_copy(update={"database_url": postgres_url, "data_dir": data})) as api:
        yield api


@pytest.fixture(params=["sqlite", "postgresql"])
def either_api(request: pytest.FixtureRequest) -> Any:
    """An API on each database."""
    return request.getfixturevalue("api" if request.param == "sqlite" else "postgres_api")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/soundtrack", {}), ("POST", "/retarget", {}), ("POST", "/retrieve", {}), ("POST", "/jobs/noop", {}),
        ("POST", "/soundtrack", MULTIPART), ("PUT", "/items/dance-1/rhythm", MULTIPART), ("POST", "/nowhere", {}),
        ("PUT", "/items/dance-1/rhythm", {"content-type": "application/json"}), ("POST", "/embed", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_that_is_no_upload_is_not_parsed(
    api: Any, method: str, path: str, headers: dict[str, str], announced: bool
) -> None:
    body = b'{"x": "' + b"x" * 300_000 + b'"}'
    content = body if announced else (body[i : i + 65_536] for i in range(0, len(body), 65_536))
    answer = api.http.request(method, path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert "xxxx" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/items/{'x' * 3000}", None),
        ("GET", f"/items?model={'x' * 3000}", None),
        ("GET", f"/items?{'x' * 3000}=1", None),
        ("POST", "/soundtrack", {"x" * 3000: 1}),
        ("POST", "/retarget", {"dance_id": "x" * 3000, "music_id": "x" * 3000, "method": "x" * 3000}),
        ("POST", "/retrieve", {"x" * 150 + str(i): 1 for i in range(900)}),
    ],
)
def test_an_error_repeats_little_of_what_was_sent(api: Any, method: str, path: str, body: Any) -> None:
    answer = api.http.request(method, path, json=body)
    assert 400 <= answer.status_code < 500
    assert "x" * 201 not in answer.text
    assert len(answer.json()["detail"]) <= 200
    assert len(answer.text) < 5000


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/items/%00"), ("DELETE", "/items/%00"), ("GET", "/items/%00/media"), ("GET", "/items?label=%00"),
        ("GET", "/items?sha256=%00"), ("GET", "/items?model=%00"), ("GET", "/items?cursor=%00"), ("GET", "/jobs/%00"),
        ("GET", "/items?cursor=WzEsICJcdWQ4MDAiXQ"), ("GET", "/items?cursor=WzEsICJcdTAwMDAiXQ"),
        ("GET", "/jobs?kind=%00"), ("GET", "/jobs/%00/events"), ("GET", "/videos/%00.mp4"),
        ("POST", "/sync?item_id=%00"),
        ("POST", "/retrieve?dance_id=%00"), ("GET", "/items?" + "&".join(f"label={i}" for i in range(1200))),
        ("POST", "/retrieve?dance_id=a&" + "&".join(f"label={i}" for i in range(33))),
    ],
)  # fmt: skip
def test_parameters_that_no_database_takes(either_api: Any, method: str, path: str) -> None:
    answer = either_api.http.request(method, path)
    assert answer.status_code in (404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("text", [r"\u0000", r"\ud800"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/retrieve", '{"dance_id": "%s"}'), ("/retrieve", '{"dance_id": "a", "label": ["%s"]}'),
        ("/retrieve", '{"%s": 1}'), ("/retarget", '{"dance_id": "a", "music_id": "%s"}'),
        ("/soundtrack", '{"dance_id": "%s"}'), ("/sync", '{"item_id": "%s"}'),
    ],
)  # fmt: skip
def test_bodies_that_no_database_takes(either_api: Any, path: str, body: str, text: str) -> None:
    answer = either_api.http.post(path, content=body % text)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_a_boundary_that_is_too_long(api: Any) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={'x' * 257}"}
    answer = api.http.post("/embed", content=b"--x", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
