"""The main job against a whole deployment: `mudar up` with the shipped model, or whatever MUDAR_E2E_URL points at.

Generated dancers have known strokes, so what comes back can be held against the truth, not only against a schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

from tests.conftest import Stack
from tests.waiting import PATIENCE_S
from training.data.synthetic.clip import Truth, write_clip, write_song

SONGS = {"own": 11, "slower": 12, "faster": 13}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S) as http:
        yield http


def ended(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The job's record at its end."""
    assert answer.status_code == 202, answer.text
    job = {"state": "queued"}
    while job["state"] in {"queued", "running"}:
        job = client.get(f"/jobs/{answer.json()['job_id']}", params={"wait": 60}).json()
    return job


def embed(client: httpx.Client, path: Path, **data: str) -> dict[str, Any]:
    with path.open("rb") as file:
        job = ended(client, client.post("/embed", files={"file": (path.name, file)}, data=data))
    assert job["state"] == "done", job
    return dict(job["result"]["items"][0])


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A clip of a dancer who was drawn, and when her strokes really fall."""
    path = tmp_path_factory.mktemp("clip") / "dancer.mp4"
    return path, write_clip(path, seed=7, duration_s=12, song_seed=SONGS["own"])


@pytest.fixture(scope="module")
def dance(client: httpx.Client, truth: tuple[Path, Truth]) -> dict[str, Any]:
    return embed(client, truth[0])


@pytest.fixture(scope="module")
def songs(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("songs")
    items = {}
    for name, seed in SONGS.items():
        write_song(folder / f"{name}.flac", seed=seed, duration_s=20)
        items[name] = embed(client, folder / f"{name}.flac", title=name)
    return items


def test_strokes_are_where_the_dancer_makes_them(
    client: httpx.Client, dance: dict[str, Any], truth: tuple[Path, Truth]
) -> None:
    rhythm = client.get(f"/items/{dance['id']}", params={"include": "rhythm"}).json()["rhythm"]
    detected, true = np.array(rhythm["times_s"]), np.array(truth[1].strokes_s)
    inside = true[(true > 0.2) & (true < 11.8)]
    near = np.abs(inside[:, None] - detected[None]).min(axis=1)
    assert (near < 0.07).mean() > 0.7
    assert np.median(near) < 1 / 30
    assert len(detected) < 1.6 * len(true), "strokes are found everywhere: then finding the true ones says nothing"


def test_the_songs_own_tempo_is_heard(songs: dict[str, Any]) -> None:
    for name, seed in SONGS.items():
        from training.data.synthetic.music.music import make_song

        ratio = songs[name]["tempo_bpm"] / make_song(seed).tempo_bpm
        assert min(abs(ratio - r) for r in (0.5, 1, 2)) < 0.04, name


def test_the_dancers_own_song_comes_first(client: httpx.Client, dance: dict[str, Any], songs: dict[str, Any]) -> None:
    ours = {item["id"]: name for name, item in songs.items()}
    answer = client.post("/retrieve", params={"dance_id": dance["id"], "k": 100, "lambda": 0.2}).json()
    ranked = [r for r in answer["results"] if r["id"] in ours]
    assert ours[ranked[0]["id"]] == "own"
    for r in answer["results"]:
        assert r["score"] == pytest.approx(0.2 * r["embedding_score"] + 0.8 * r["rhythm_score"], abs=1e-5)


@pytest.mark.parametrize("method", ["dtw", "shift"])
def test_retargeting_answers_with_a_video_that_plays(
    client: httpx.Client, dance: dict[str, Any], songs: dict[str, Any], tmp_path: Path, method: str
) -> None:
    body = {"dance_id": dance["id"], "music_id": songs["slower"]["id"], "method": method}
    job = ended(client, client.post("/retarget", json=body))
    assert job["state"] == "done", job
    result = job["result"]
    video = tmp_path / "out.mp4"
    video.write_bytes(client.get(result["video_url"]).raise_for_status().content)
    part = client.get(result["video_url"], headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.content == video.read_bytes()[100:200]
    with av.open(str(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        frames = sum(1 for _ in container.decode(picture))
        assert frames / float(picture.average_rate) == pytest.approx(result["duration_s"], abs=1e-3)
        assert abs(float(picture.duration * picture.time_base) - float(sound.duration * sound.time_base)) <= 0.03
    report = result["report"]
    assert report["source_used"] > 0.5
    if method == "dtw":
        assert report["beat_alignment"]["after"] > report["beat_alignment"]["chance"] + 0.3
        assert 0.66 < report["speed"]["p1"] <= report["speed"]["p99"] < 1.51


def test_the_same_bytes_are_the_same_item(
    client: httpx.Client, dance: dict[str, Any], truth: tuple[Path, Truth]
) -> None:
    assert embed(client, truth[0])["id"] == dance["id"]


def test_errors_are_problems_with_a_way_out(client: httpx.Client, dance: dict[str, Any]) -> None:
    for call, status, code in (
        (client.get("/items/no-such-item"), 404, "unknown_item"),
        (client.post("/retrieve", params={"dance_id": dance["id"], "lambda": 2}), 422, "out_of_range"),
        (client.post("/retarget", json={"dance_id": dance["id"], "music_id": dance["id"]}), 422, "wrong_kind"),
    ):
        assert call.status_code == status, call.text
        assert call.headers["content-type"] == "application/problem+json"
        assert call.json()["code"] == code
        assert call.json()["detail"]
