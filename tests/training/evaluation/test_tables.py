"""The tables, against cases that can be worked by hand: perfect networks, deaf ones, and folds that must not leak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mir_eval import onset

from mudar.model.temporal import Code
from tests.training.conftest import make_prediction
from training.baselines.registry import build_network
from training.data.records import ClipFeatures
from training.data.splits import folds
from training.evaluation import metrics
from training.evaluation.downstream import synchrony
from training.evaluation.inference import ClipPrediction, partners, predict
from training.evaluation.tables import table1, table2, table3
from training.evaluation.tables.report import difference, figure, merge

pytestmark = pytest.mark.slow


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def perfect(records: list[ClipFeatures]) -> list[ClipPrediction]:
    """Eight clips of four songs; a dance has its song's vector, and strokes on its beats."""
    eye = np.eye(4, dtype=np.float32)
    clips = [make_prediction(r, r.strokes_s, eye[[i // 2]], eye[[i // 2]]) for i, r in enumerate(records)]
    return [replace(clip, served_head=None, served_strokes_s=None) for clip in clips]  # strokes are the curve's peaks


def test_strokes_on_the_beats_are_right_and_late_ones_are_found_by_the_lag(perfect: list[ClipPrediction]) -> None:
    columns = table1.table(perfect, "beat")
    assert len(columns["f1"]) == 8
    assert min(columns["f1"]) > 0.95
    assert np.mean(columns["null"]) < 0.6
    assert np.mean(columns["lift"]) == pytest.approx(np.mean(columns["f1"]) - np.mean(columns["chance"]))
    late = [replace(one, curves=np.roll(one.curves, 3, axis=0)) for one in perfect]  # 200 ms
    behind = table1.table(late, "beat")
    assert np.mean(behind["f1"]) < 0.2
    assert np.mean(behind["lag_f1"]) > 0.85
    assert np.mean(behind["lag_chance"]) > np.mean(behind["chance"])


def test_precision_and_recall_are_mir_evals() -> None:
    events, strokes = np.array([0.5, 1.0, 1.5, 2.0]), np.array([0.52, 1.02, 1.75, 2.2, 2.8])
    figures = table1.clip_figures(events, strokes, events + 0.25, 4.0)
    f1, precision, recall = onset.f_measure(events, strokes, window=table1.TOLERANCE_S)
    assert (figures["f1"], figures["precision"], figures["recall"]) == pytest.approx((f1, precision, recall))
    assert figures["error_ms"] == pytest.approx(20.0)


def test_partners_are_of_another_song(perfect: list[ClipPrediction]) -> None:
    for one, other in zip(perfect, partners(perfect), strict=True):
        assert one.record.song_id != other.record.song_id


def test_perfect_vectors_find_every_dance_of_their_song(perfect: list[ClipPrediction], tiny) -> None:  # type: ignore[no-untyped-def]
    columns = table3.table(build_network(tiny("small")), perfect)
    for lam in ("0.0", "0.5", "1.0"):
        songs = columns[lam]["songs"]
        assert songs["r1"] == songs["map"] == [1.0] * 4
        assert songs["p10"] == [0.25] * 4  # two of the eight dances there are
        assert columns[lam]["dances"]["rank"] == [1.0] * 8
        assert columns[lam]["null"]["r1"] == [0.0] * 4
        assert columns[lam]["chance"]["r1"] == pytest.approx([0.25])


def test_best_pairs_are_the_best_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    queries, items = ([_unit(rng.normal(size=(n, 5))) for n in sizes] for sizes in ((1, 3), (2, 1, 4)))
    by_hand = [[max(float(q @ x) for q in one for x in other) for other in items] for one in queries]
    assert np.allclose(metrics.best_pair_scores(queries, items), by_hand, atol=1e-6)


def test_baselines_are_asked_pair_by_pair(records: list[ClipFeatures], tiny) -> None:  # type: ignore[no-untyped-def]
    """What the table holds of a pair is the best answer over its segments, one at a time."""
    recipe = replace(tiny("lla"), network="lla")
    network = build_network(recipe).eval()
    predictions = [predict(network, record) for record in records[:4:2]]
    scores = table3.pair_scores(network, [s.dance for s in predictions], [s.music for s in predictions])
    assert scores.shape == (2, 2)
    dance, music = predictions[0].dance, predictions[1].music
    one = lambda code, i: Code(code.sequence[i : i + 1], code.embedding[i : i + 1])  # noqa: E731
    answers = [
        float(network.match(one(dance, i), one(music, j)).detach())  # type: ignore[operator]
        for i in range(len(dance.embedding))
        for j in range(len(music.embedding))
    ]
    assert scores[0, 1] == pytest.approx(max(answers), abs=1e-5)
    assert list(table3.table(network, predictions)) == ["1.0"]


def test_synchrony_by_a_curve_that_knows_the_beats(records: list[ClipFeatures], tiny) -> None:  # type: ignore[no-untyped-def]
    """Strokes exactly on the music's beats: the true shift ranks first, save for other beats' shifts."""
    network = build_network(tiny("small"))
    clips = [replace(predict(network, r), record=r) for r in records]
    pulses = [one.pulses for one in clips]
    clips_on_beat = [
        replace(one, curves=np.repeat(p[:, None], 4, axis=1)) for one, p in zip(clips, pulses, strict=True)
    ]
    columns = synchrony.table(network, clips_on_beat)
    assert np.mean(columns["curve_rank"]) > 0.9
    assert np.mean(columns["null_curve_rank"]) < np.mean(columns["curve_rank"])
    assert np.mean(columns["null_curve_top1"]) < 0.5 < np.mean(columns["curve_top1"])
    assert synchrony.rank_of(np.array([3.0, 1.0, 2.0]), 0) == 1.0
    assert synchrony.rank_of(np.zeros(5), 2) == 0.5


def test_styles_learn_from_others_alone(records: list[ClipFeatures], tiny) -> None:  # type: ignore[no-untyped-def]
    network = build_network(tiny("small"))
    predictions = [predict(network, replace(r, style="ab"[i % 2])) for i, r in enumerate(records)]
    columns = table2.table((), predictions, table2.HeadRecipe(epochs=2))
    assert len(columns["accuracy"]) == len(columns["chance"]) == 8
    taught = table2.table(predictions[:4], predictions[4:], table2.HeadRecipe(epochs=1))
    assert len(taught["accuracy"]) == 4


@pytest.mark.parametrize("seed", range(3))
def test_no_song_and_no_source_lies_in_two_folds(records: list[ClipFeatures], seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = [
        replace(records[0], clip_id=f"c{i}", song_id=f"song-{rng.integers(30)}", source=f"s{rng.integers(25)}")
        for i in range(60)
    ]
    clips += [replace(clips[0], clip_id=f"big{i}", song_id=f"b{i // 4}", source="large") for i in range(40)]
    parts = folds(clips, 3, seed, frozenset({"large"}))
    assert sorted(clip_id for part in parts for clip_id in part) == sorted(r.clip_id for r in clips)
    fold_of = {clip_id: k for k, part in enumerate(parts) for clip_id in part}
    for one in clips:
        for other in clips:
            shares = one.song_id == other.song_id or (one.source == other.source != "large")
            if shares:
                assert fold_of[one.clip_id] == fold_of[other.clip_id]
    large = [sum(clip_id.startswith("big") for clip_id in part) for part in parts]
    assert max(large) - min(large) <= 4
    assert folds(clips, 3, seed + 1, frozenset({"large"})) != parts


def test_figures_speak_of_clips_and_differences_are_paired() -> None:
    one = [{"a": 1.0, "b": 0.0}, {"a": 0.0, "c": float("nan")}]
    assert merge(one) == {"a": 0.5, "b": 0.0}
    mean_figure = figure(one)
    assert (mean_figure.mean, mean_figure.clips) == (0.25, 2)
    assert mean_figure.seeds_sd == pytest.approx(np.std([0.5, 0.0], ddof=1))
    hard = {f"c{i}": float(i) for i in range(20)}
    better = difference([{clip: value + 0.5 for clip, value in hard.items()}], [hard])
    assert (better.mean, better.low, better.high) == pytest.approx((0.5, 0.5, 0.5))
    assert figure([]).text() == "–"
