"""Figures of retrieval against what is known of made-up clips, and the whole command on records."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.loader import load_served
from tests.training.conftest import make_prediction, make_record
from training.data.records import ClipFeatures, save_record
from training.evaluation.downstream import retrieval
from training.evaluation.downstream.retrieval import allowed, figures, sweep
from training.evaluation.inference import ClipPrediction
from training.evaluation.metrics import SegmentVectors, hybrid_scores


def predictions(songs: Sequence[str], noise: float = 0.0) -> list[ClipPrediction]:
    """One segment a clip, whose embedding is nothing and whose rhythm is its song's."""
    rng = np.random.default_rng(0)
    names = sorted(set(songs))
    basis, nothing = np.eye(len(names), dtype=np.float32), np.zeros((1, 2), np.float32)
    clips = []
    for song in songs:
        rhythms = basis[names.index(song)] + rng.normal(size=(2, len(names))).astype(np.float32) * noise
        record = replace(make_record(0), song_id=song)
        clips.append(make_prediction(record, record.strokes_s, nothing, nothing, (rhythms[:1], rhythms[1:])))
    return clips


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_hybrid_scores_are_those_of_the_best_pair(lam: float) -> None:
    rng = np.random.default_rng(1)

    def vectors(sizes: list[int]) -> SegmentVectors:
        return SegmentVectors(*([rng.normal(size=(n, d)).astype(np.float32) for n in sizes] for d in (3, 4)))

    queries, items = vectors([1, 3]), vectors([2, 1, 4])
    scores = hybrid_scores(queries, items, lam)
    for q in range(2):
        for n in range(3):
            by_hand = lam * queries.embeddings[q] @ items.embeddings[n].T
            by_hand += (1 - lam) * queries.rhythms[q] @ items.rhythms[n].T
            assert scores[q, n] == pytest.approx(by_hand.max(), abs=1e-5)


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
    results = sweep(predictions(["a", "b", "c", "d", "d"]), "clips")
    perfect, blind = results["dance to music"][0.0], results["dance to music"][1.0]
    assert perfect["r1"] == [1.0, 1.0, 1.0]
    assert perfect["map"][0] == 1.0
    assert perfect["rank"][0] == 1.0
    assert perfect["queries"] == 5
    assert blind["r1"][0] == 0.0  # all scores are equal, and ties count against
    assert blind["rank"][0] == pytest.approx(0.5)
    assert results["chance"]["r1"] == pytest.approx((3 * 0.2 + 2 * 0.4) / 5)


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


@pytest.mark.slow
def test_the_command_prints_and_draws(
    records: list[ClipFeatures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = load_served().spec.video.flow_shape
    for record in records[:4]:
        save_record(tmp_path / "records", replace(record, flow_shape=shape))
    arguments = ["retrieval", "--records", str(tmp_path / "records"), "--json", str(tmp_path / "out.json")]
    arguments += ["--plot", str(tmp_path / "sweep.png"), "--best-lag"]
    arguments += ["--rhythm", "tempo/head", "--rhythm", "repeats/grid/0"]
    monkeypatch.setattr(sys, "argv", arguments)
    retrieval.main()
    assert "generated: 4 clips, 2 songs" in capsys.readouterr().out
    results = json.loads((tmp_path / "out.json").read_text())
    assert set(results) == {"tempo/head", "repeats/grid/0", "best lag"}
    for direction in retrieval.DIRECTIONS:
        rows = results["repeats/grid/0"]["generated"][direction]
        assert [float(lam) for lam in rows] == list(retrieval.LAMBDAS)
        assert results["best lag"]["generated"][direction]["0.0"]["queries"] == 4
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
