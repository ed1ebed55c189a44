"""Every bad input of which we know is refused clearly at the door, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mudar.library import analyses
from mudar.records import Analysis, Rhythm, Segment

MODEL = "mudar-small@0.0.0"


@pytest.fixture(autouse=True)
def nothing_is_left(api: Any) -> Iterator[None]:
    """No half file stays behind, whatever was asked."""
    yield
    assert list(api.container.blobs.temporary.iterdir()) == []


def huge(clip: bytes) -> bytes:
    """The clip, its header saying that the picture is 20000 x 20000."""
    at = clip.index(b"mp4v", clip.index(b"stsd")) + 4 + 24
    return clip[:at] + (20_000).to_bytes(2, "big") * 2 + clip[at + 4 :]


@pytest.mark.parametrize(
    ("name", "kind", "status", "code"),
    [
        ("empty", None, 422, "empty_file"),
        ("text", None, 415, "unreadable_media"),
        ("truncated", None, 422, "truncated_media"),
        ("song", "dance", 422, "no_video_stream"),
        ("song", "both", 422, "no_video_stream"),
        ("mute", "music", 422, "no_audio_stream"),
        ("mute", "both", 422, "no_audio_stream"),
        ("short", None, 422, "media_too_short"),
        ("long", None, 422, "media_too_long"),
        ("huge", None, 422, "picture_too_large"),
        ("dance", "song", 422, "wrong_kind"),
    ],
)
def test_files_that_cannot_be_used(
    api: Any, files: dict[str, bytes], name: str, kind: str | None, status: int, code: str
) -> None:
    content = huge(files["dance"]) if name == "huge" else files[name]
    before = api.http.get("/items").json()
    answer = api.http.post("/embed", files={"file": ("clip.mp4", content)}, data={"kind": kind} if kind else {})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["hint"]
    if code in ("no_video_stream", "no_audio_stream", "unreadable_media"):
        assert "clip.mp4" in answer.json()["detail"], "a sender knows the file by its own name"
    assert api.http.get("/items").json() == before


@pytest.mark.parametrize("metadata", ["{", "[1]", '"text"', '{"a": NaN}'])
def test_metadata_that_is_no_object(api: Any, files: dict[str, bytes], metadata: str) -> None:
    answer = api.http.post("/embed", files={"file": ("a.mp4", files["dance"])}, data={"metadata": metadata})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_an_unknown_model(api: Any, files: dict[str, bytes]) -> None:
    answer = api.http.post("/embed", files={"file": ("a.mp4", files["dance"])}, data={"model": "nobody@1"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")


def upload(api: Any, content: bytes, **fields: Any) -> dict[str, Any]:
    answer = api.http.post("/embed", files={"file": ("clip.mp4", content)}, data=fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def embedded(api: Any, item_id: str, kind: Any) -> str:
    """Gives the item an analysis, as a worker would."""
    rng = np.random.default_rng(len(item_id))
    embedding, rhythm = (rng.normal(size=n).astype(np.float32) for n in (256, 64))
    points = np.array([0.5, 1.0], np.float32)
    analysed = Rhythm(points, points, np.zeros(30, np.float32), 15.0, 120.0)
    segment = Segment(0.0, 2.0, embedding / np.linalg.norm(embedding), rhythm / np.linalg.norm(rhythm))
    with api.container.database.begin() as session:
        analyses.store_analysis(session, item_id, MODEL, Analysis(kind, 2.0, MODEL, analysed, (segment,)))
    return item_id


@pytest.fixture(scope="module")
def dance(api: Any, files: dict[str, bytes]) -> str:
    """An embedded dance."""
    return embedded(api, upload(api, files["dance"], kind="dance")["items"][0], "dance")


def test_an_empty_library_says_so(api: Any, dance: str) -> None:
    answer = api.http.post(f"/retrieve?dance_id={dance}")
    assert (answer.status_code, answer.json()["code"]) == (409, "empty_library")


def test_the_same_bytes_again_are_the_same_item_and_job(api: Any, files: dict[str, bytes], dance: str) -> None:
    first, again = upload(api, files["mute"]), upload(api, files["mute"], title="again")
    assert first == again
    both = upload(api, files["dance"], kind="both")
    assert both["items"][0] == dance
    music = api.http.get(f"/items/{both['items'][1]}").json()
    assert (music["kind"], music["linked_to"]) == ("music", dance)


def test_an_item_that_is_not_embedded_yet_is_not_ready(api: Any, files: dict[str, bytes], dance: str) -> None:
    song = upload(api, files["song"])["items"][0]
    answers = [
        api.http.post(f"/retrieve?music_id={song}"),
        api.http.post("/retarget", json={"dance_id": dance, "music_id": song}),
        api.http.get(f"/items/{song}?include=rhythm"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "not_ready")] * 3
    assert api.http.get(f"/items/{song}").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"method": "magic"}, 422, "unknown_method"),
        ({"accent": 2}, 422, "out_of_range"),
        ({"accent": "strong"}, 422, "bad_request"),
        ({"accents": [0.5]}, 422, "out_of_range"),
        ({"dry_run": True, "accents": [0.5, 2]}, 422, "out_of_range"),
        ({"dry_run": True, "accents": [0.5] * 10}, 422, "bad_request"),
        ({"min_speed": 2}, 422, "out_of_range"),
        ({"interpolation": "dream"}, 422, "out_of_range"),
        ({"colour": "red"}, 422, "bad_request"),
        ({"dance_id": "dance-nothing"}, 404, "unknown_item"),
        ({"music_id": "SAME"}, 422, "wrong_kind"),
    ],
)
def test_retargetings_that_make_no_sense(api: Any, dance: str, change: dict[str, Any], status: int, code: str) -> None:
    change = {key: dance if value == "SAME" else value for key, value in change.items()}
    answer = api.http.post("/retarget", json={"dance_id": dance, "music_id": "music-nothing", **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_dance_asked_for_as_music_is_the_wrong_kind(api: Any, dance: str) -> None:
    answer = api.http.post(f"/retrieve?music_id={dance}")
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_kind")


def test_a_body_that_is_no_json_or_has_no_end(api: Any) -> None:
    headers = {"content-type": "application/json"}
    broken = api.http.post("/retarget", content=b"{", headers=headers)
    assert (broken.status_code, broken.json()["code"]) == (422, "bad_request")
    endless = api.http.post("/retarget", content=(bytes(100_000) for _ in range(100)), headers=headers)
    assert (endless.status_code, endless.json()["code"]) == (413, "upload_too_large")


def test_a_deleted_item_is_gone_and_its_waiting_job_says_why(api: Any, files: dict[str, bytes]) -> None:
    accepted = upload(api, files["song"] + b"\0" * 16)
    item_id = accepted["items"][0]
    assert api.http.get(f"/items/{item_id}/media").status_code == 200
    assert api.http.delete(f"/items/{item_id}").status_code == 204
    job = api.http.get(f"/jobs/{accepted['job_id']}").json()
    assert (job["state"], job["error"]["code"], job["error"]["status"]) == ("failed", "item_deleted", 410)
    assert api.http.get(f"/items/{item_id}").status_code == 404
    assert upload(api, files["song"] + b"\0" * 16)["job_id"] != accepted["job_id"]
