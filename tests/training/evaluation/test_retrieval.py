"""Figures of retrieval against what is known of made-up clips, and the whole command on records."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_store.loader import load_served
from training.data.records import ClipFeatures, save_record
from training.evaluation.downstream import retrieval
from training.evaluation.downstream.retrieval import Side, allowed, figures, scores, sweep


def view(song: str, dance: np.ndarray, music: np.ndarray) -> Any:
    """One segment, whose embedding is nothing and whose rhythm is known."""
    nothing = np.zeros((1, 2), np.float32)
    return SimpleNamespace(
        record=SimpleNamespace(song_id=song),
        dance=nothing, music=nothing, dance_rhythm=dance[None], music_rhythm=music[None],
    )  # fmt: skip


def views(songs: Sequence[str], noise: float = 0.0) -> list[Any]:
    rng = np.random.default_rng(0)
    names = sorted(set(songs))
    basis = np.eye(len(names), dtype=np.float32)
    made = []
    for song in songs:
        own = basis[names.index(song)]
        jitter = rng.normal(size=(2, len(names))).astype(np.float32) * noise
        made.append(view(song, own + jitter[0], own + jitter[1]))
    return made


def test_scores_are_those_of_the_best_pair() -> None:
    rng = np.random.default_rng(1)

    def side(sizes: list[int]) -> Side:
        return Side(*([rng.normal(size=(n, d)).astype(np.float32) for n in sizes] for d in (3, 4)))

    queries, items, lam = side([1, 3]), side([2, 1, 4]), 0.3
    found = scores(queries, items, lam)
    for q in range(2):
        for n in range(3):
            by_hand = lam * queries.embeddings[q] @ items.embeddings[n].T
            by_hand += (1 - lam) * queries.rhythms[q] @ items.rhythms[n].T
            assert found[q, n] == pytest.approx(by_hand.max(), abs=1e-5)


def test_galleries_hold_what_they_say() -> None:
    songs = ["a", "a", "b", "c", "c"]
    assert allowed(songs, "clips").all()
    np.testing.assert_array_equal(allowed(songs, "others"), ~np.eye(5, dtype=bool))
    one = allowed(songs, "songs")
    np.testing.assert_array_equal(one.sum(axis=1), 3)  # one clip of each of three songs
    assert one.diagonal().all()  # a song is stood for by the query's own clip
    assert not one[0, 1]
    assert not one[2, 4]


def test_a_perfect_rhythm_finds_every_song_and_nothing_finds_by_chance() -> None:
    found = sweep(views(["a", "b", "c", "d", "d"]), "clips")
    perfect, blind = found["dance to music"][0.0], found["dance to music"][1.0]
    assert perfect["r1"] == [1.0, 1.0, 1.0]
    assert perfect["map"][0] == 1.0
    assert perfect["rank"][0] == 1.0
    assert perfect["queries"] == 5
    assert blind["r1"][0] == 0.0  # all scores are equal, and ties count against
    assert blind["rank"][0] == pytest.approx(0.5)
    assert found["chance"]["r1"] == pytest.approx((3 * 0.2 + 2 * 0.4) / 5)


def test_songs_with_one_clip_only_cannot_be_known_by_another() -> None:
    songs = ["a", "b", "c", "d", "d"]
    table = np.random.default_rng(0).random((5, 5))
    assert figures(table, songs, "others")["queries"] == 2


def test_intervals_draw_whole_songs() -> None:
    """Forty clips of two songs, one always found and one never, are two witnesses: the interval says nothing."""
    songs = ["a"] * 20 + ["b"] * 20
    table = np.zeros((40, 40))
    table[:20, :20] = 1.0
    table[20:, :20] = 1.0
    mean, low, high = figures(table, songs, "clips")["r1"]
    assert (mean, low, high) == (0.5, 0.0, 1.0)


def test_the_command_prints_and_draws(
    records: list[ClipFeatures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = load_served().spec.video.flow_shape
    for record in records[:4]:
        save_record(tmp_path / "records", replace(record, flow_shape=shape))
    told = ["retrieval", "--records", str(tmp_path / "records"), "--json", str(tmp_path / "out.json")]
    told += [
        "--plot",
        str(tmp_path / "sweep.png"),
        "--rhythm",
        "tempo/head",
        "--rhythm",
        "repeats/grid/0",
        "--best-lag",
    ]
    monkeypatch.setattr(sys, "argv", told)
    retrieval.main()
    assert "generated: 4 clips, 2 songs" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found) == {"tempo/head", "repeats/grid/0", "best lag"}
    for direction in retrieval.DIRECTIONS:
        rows = found["repeats/grid/0"]["generated"][direction]
        assert [float(lam) for lam in rows] == list(retrieval.LAMBDAS)
        assert found["best lag"]["generated"][direction]["0.0"]["queries"] == 4
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
