"""The whole path with real parts: upload, worker, search, retargeting, and the bytes of the video played back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> dict[str, Path]:
    """A dance of 9 s and two songs."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        "dance": make_clip(folder / "dance.mp4", seconds=9),
        "song": make_clip(folder / "song.m4a", seconds=9, picture=False),
        "other": make_clip(folder / "other.m4a", seconds=5, picture=False),
        "still": make_clip(folder / "still.mp4", seconds=3, moving=False),
        "silent": make_clip(folder / "silent.m4a", seconds=3, picture=False, loud=False),
    }


def finished(up: Any, answer: Any) -> dict[str, Any]:
    """The job that was accepted, ended."""
    assert answer.status_code == 202, answer.text
    return dict(up.ended(answer.json()["job_id"]))


def embed(up: Any, path: Path, **fields: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        return finished(up, up.http.post("/embed", files={"file": (path.name, file)}, data=fields))


@pytest.fixture(scope="module")
def items(up: Any, clips: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What the service says of each good clip after embedding it."""
    jobs = {
        "dance": embed(up, clips["dance"], labels=["solo", "studio"], metadata='{"dancer": "square"}'),
        "song": embed(up, clips["song"], labels=["click"], title="A song"),
        "other": embed(up, clips["other"]),
    }
    assert {job["state"] for job in jobs.values()} == {"done"}, jobs
    return {name: job["result"]["items"][0] for name, job in jobs.items()}


def test_an_embedded_item_says_what_was_found(up: Any, items: dict[str, Any]) -> None:
    dance = items["dance"]
    assert dance.keys() == {"id", "kind", "duration_s", "tempo_bpm", "strokes", "segments", "model"}
    assert (dance["kind"], dance["segments"], dance["model"]) == ("dance", 2, "mudar-small@0.0.0")
    assert dance["duration_s"] == pytest.approx(9, abs=0.1)
    complete = up.http.get(f"/items/{dance['id']}?include=embedding,rhythm").json()
    assert (complete["labels"], complete["metadata"], complete["title"]) == (
        ["solo", "studio"],
        {"dancer": "square"},
        "dance",
    )
    rhythm = complete["rhythm"]
    assert len(rhythm["times_s"]) == len(rhythm["strengths"]) == dance["strokes"]
    assert len(rhythm["curve"]) == pytest.approx(9 * rhythm["fps"], abs=2)
    assert [segment["start_s"] for segment in complete["embedding"]] == pytest.approx([0, 1], abs=0.1)
    for segment in complete["embedding"]:
        assert np.linalg.norm(segment["embedding"]) == pytest.approx(1, abs=1e-4)


def test_what_was_sent_is_played_back(up: Any, items: dict[str, Any], clips: dict[str, Path]) -> None:
    address = f"/items/{items['dance']['id']}/media"
    complete = up.http.get(address)
    assert complete.content == clips["dance"].read_bytes()
    assert complete.headers["content-type"] == "video/mp4"
    assert complete.headers["x-content-type-options"] == "nosniff"
    part = up.http.get(address, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, complete.content[10:20])


@pytest.mark.parametrize(
    ("asks", "kind", "matches"), [("song", "music", {"dance"}), ("dance", "dance", {"song", "other"})]
)
@pytest.mark.parametrize("lam", [None, 0, 1, 0.3])
def test_both_ways_round_for_every_lambda(
    up: Any, items: dict[str, Any], asks: str, kind: str, matches: set[str], lam: float | None
) -> None:
    params = {f"{kind}_id": items[asks]["id"], "k": 100, **({} if lam is None else {"lambda": lam})}
    answer = up.http.post("/retrieve", json=params).json()
    used = 0.4 if lam is None else lam  # the card's own default
    assert answer["query"] == {
        "id": items[asks]["id"],
        "kind": kind,
        "k": 100,
        "lambda": used,
        "label": [],
        "model": "mudar-small@0.0.0",
        "tempo_bpm": pytest.approx(items[asks]["tempo_bpm"], abs=0.1),
        "offset": 0,
        "next_offset": None,
    }
    # Other tests may have put more into the same library.
    assert {match["id"] for match in answer["results"]} >= {items[name]["id"] for name in matches}
    scores = [match["score"] for match in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    for match in answer["results"]:
        parts = used * match["embedding_score"] + (1 - used) * match["rhythm_score"]
        assert match["score"] == pytest.approx(parts, abs=1e-5)
        assert match.keys() == {
            "id", "score", "embedding_score", "rhythm_score", "tempo_bpm", "start_s", "query_start_s", "title"
        }  # fmt: skip


def test_scores_are_the_inner_products_of_what_include_shows(up: Any, items: dict[str, Any]) -> None:
    """Oracle: numpy over all pairs of segments."""
    dance, song = (
        up.http.get(f"/items/{items[name]['id']}?include=embedding").json()["embedding"] for name in ("dance", "song")
    )
    best = max(
        0.4 * np.dot(a["embedding"], b["embedding"]) + 0.6 * np.dot(a["rhythm"], b["rhythm"])
        for a in dance
        for b in song
    )
    answer = up.http.post("/retrieve", params={"music_id": items["song"]["id"]}).json()
    (match,) = [match for match in answer["results"] if match["id"] == items["dance"]["id"]]
    assert match["score"] == pytest.approx(best, abs=1e-5)


def test_only_what_carries_the_label(up: Any, items: dict[str, Any]) -> None:
    request = {"dance_id": items["dance"]["id"]}
    one = up.http.post("/retrieve", params={**request, "label": "click"}).json()["results"]
    assert [(match["id"], match["title"]) for match in one] == [(items["song"]["id"], "A song")]
    assert up.http.post("/retrieve", params={**request, "label": "nobody"}).json()["results"] == []


def test_searching_with_a_file_gives_the_same_and_keeps_no_item(
    up: Any, items: dict[str, Any], clips: dict[str, Path]
) -> None:
    stored = up.http.post("/retrieve", params={"dance_id": items["dance"]["id"], "k": 5, "lambda": 0.3}).json()
    before = up.http.get("/items").json()
    with clips["dance"].open("rb") as file:
        job = finished(up, up.http.post("/retrieve/file?k=5&lambda=0.3", files={"file": ("again.mp4", file)}))
    assert job["state"] == "done", job
    assert job["result"]["results"] == stored["results"]
    assert up.http.get("/items").json() == before


@pytest.mark.parametrize(("name", "code"), [("silent", "silent_audio"), ("still", "still_video")])
def test_what_only_the_worker_can_see_fails_the_job(up: Any, clips: dict[str, Path], name: str, code: str) -> None:
    job = embed(up, clips[name])
    assert (job["state"], job["error"]["code"], job["error"]["status"]) == ("failed", code, 422)
    assert job["error"]["hint"]


def test_the_same_bytes_again_are_no_new_work(up: Any, clips: dict[str, Path], items: dict[str, Any]) -> None:
    again = embed(up, clips["dance"], kind="dance")
    assert (again["attempts"], again["result"]["items"][0]) == (1, items["dance"])
    both = embed(up, clips["dance"], kind="both")["result"]["items"]
    assert both[0] == items["dance"]
    assert both[1]["kind"] == "music"
    assert up.http.delete(f"/items/{both[1]['id']}").status_code == 204


@pytest.fixture(scope="module")
def video(up: Any, items: dict[str, Any]) -> dict[str, Any]:
    """The dance on the song."""
    request = {"dance_id": items["dance"]["id"], "music_id": items["song"]["id"], "method": "shift"}
    job = finished(up, up.http.post("/retarget", json=request))
    assert job["state"] == "done", job
    return dict(job["result"])


def test_a_retargeted_video_plays_from_its_url(up: Any, video: dict[str, Any]) -> None:
    assert video["method"] == "shift"
    assert {"onsets_hit", "beat_alignment", "landing_error_ms", "speed", "source_used"} <= video["report"].keys()
    complete = up.http.get(video["video_url"])
    assert complete.headers["content-type"] == "video/mp4"
    assert complete.headers["accept-ranges"] == "bytes"
    with av.open(io.BytesIO(complete.content)) as played:
        frames = list(played.decode(video=0))
    with av.open(io.BytesIO(complete.content)) as played:
        sound = list(played.decode(audio=0))
    assert len(frames) == pytest.approx(video["duration_s"] * 15, abs=1)
    assert (frames[0].width, frames[0].height) == (96, 64)
    assert sum(frame.samples for frame in sound) / sound[0].sample_rate == pytest.approx(video["duration_s"], abs=0.1)


def test_a_player_can_seek(up: Any, video: dict[str, Any]) -> None:
    complete = up.http.get(video["video_url"]).content
    head = up.http.head(video["video_url"])
    assert int(head.headers["content-length"]) == len(complete)
    tail = up.http.get(video["video_url"], headers={"range": "bytes=-100"})
    assert (tail.status_code, tail.content) == (206, complete[-100:])
    assert tail.headers["content-range"] == f"bytes {len(complete) - 100}-{len(complete) - 1}/{len(complete)}"
    beyond = up.http.get(video["video_url"], headers={"range": f"bytes={len(complete)}-"})
    assert beyond.status_code == 416
    again = up.http.get(video["video_url"], headers={"range": "bytes=0-9", "if-range": head.headers["etag"]})
    assert again.content == complete[:10]


def test_two_files_at_once(up: Any, clips: dict[str, Path], items: dict[str, Any]) -> None:
    """They become items like any others; here they are there already."""
    with clips["dance"].open("rb") as dance, clips["other"].open("rb") as music:
        files = {"dance": ("d.mp4", dance), "music": ("m.m4a", music)}
        job = finished(up, up.http.post("/retarget/files", files=files, data={"method": "shift", "crf": "30"}))
    assert job["state"] == "done", job
    assert job["item_ids"] == [items["dance"]["id"], items["other"]["id"]]
    assert up.http.get(job["result"]["video_url"]).content[4:8] == b"ftyp"


def test_ready_models_docs_and_page(up: Any) -> None:
    ready = up.http.get("/health/ready").json()
    assert all(check["ok"] for check in ready["checks"].values())
    (model,) = up.http.get("/models").json()["models"]
    assert (model["id"], model["served"], model["lambda_default"]) == ("mudar-small@0.0.0", True, 0.4)
    paths = up.http.get("/openapi.json").json()["paths"]
    assert {"/embed", "/retrieve", "/retarget", "/jobs/{job_id}", "/items", "/models"} <= paths.keys()
    assert up.http.get("/docs").status_code == 200
    assert "<html" in up.http.get("/").text


def mudar(up: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, talking to this service."""
    command = [sys.executable, "-m", "service.cli.main", *words, "--url", str(up.http.base_url)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_line_does_the_same(up: Any, items: dict[str, Any], clips: dict[str, Path], tmp_path: Path) -> None:
    embedded = mudar(up, "embed", str(clips["dance"]), "--json")
    assert json.loads(embedded.stdout) == items["dance"]
    matches = mudar(up, "retrieve", items["dance"]["id"], "--json", "--k", "1")
    assert len(json.loads(matches.stdout)["results"]) == 1
    out = tmp_path / "out.mp4"
    made = mudar(
        up, "retarget", items["dance"]["id"], str(clips["song"]), "--method", "shift", "-o", str(out), "--json"
    )
    assert json.loads(made.stdout)["method"] == "shift", made.stderr
    with av.open(str(out)) as played:
        assert len(played.streams.video) == len(played.streams.audio) == 1
    wrong = mudar(up, "retrieve", "dance-nothing")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "[unknown_item]" in wrong.stderr.splitlines()[0]
    assert "Traceback" not in wrong.stderr
