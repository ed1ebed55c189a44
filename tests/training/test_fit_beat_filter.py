"""The beat filter in closed form: it finds beats of clips it has not seen, and leaves the network as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mudar.model.inputs import motion_input
from mudar.model.mudar import build
from mudar.spec import VideoSpec
from training import fit_beat_filter
from training.checkpoint import load_run
from training.data.records import ClipFeatures, save_record
from training.evaluation import folds, metrics
from training.evaluation.inference import predict
from training.recipe import Recipe

from .conftest import make_record

SPEC = VideoSpec()
QUICK = fit_beat_filter.FilterRecipe(reach=8, directions=8, stretches=(1.0,))


@pytest.fixture
def clips() -> list[ClipFeatures]:
    return [make_record(index, "real", 14.0) for index in range(10)]


def test_beats_of_clips_not_seen_are_found(clips: list[ClipFeatures], tiny: Callable[..., Recipe]) -> None:
    recipe = tiny("small")
    model = fit_beat_filter.attach(build(recipe.model, recipe.features), fit_beat_filter.fit(clips[:8], SPEC, QUICK))
    for record in clips[8:]:
        prediction = predict(model, record)
        assert metrics.f1(record.beats_s, prediction.strokes_s("beat"), 0.07) > 0.8


def test_its_curve_reads_as_a_probability(clips: list[ClipFeatures], tiny: Callable[..., Recipe]) -> None:
    recipe = tiny("small")
    model = fit_beat_filter.attach(build(recipe.model, recipe.features), fit_beat_filter.fit(clips[:8], SPEC, QUICK))
    curves = [model.filtered(motion_input(record.between, SPEC)) for record in clips[:8]]
    curve_mean = float(np.mean(np.concatenate([curve[:, 0] for curve in curves if curve is not None])))
    target = np.concatenate([fit_beat_filter._soft(r.beats_s, r.frames, SPEC.fps, QUICK.sigma_s) for r in clips[:8]])
    assert curve_mean == pytest.approx(float(target.mean()), rel=0.05)


def test_the_same_clips_give_the_same_filter_and_other_beats_another(clips: list[ClipFeatures]) -> None:
    one, again = (fit_beat_filter.fit(clips[:3], SPEC, QUICK) for _ in range(2))
    assert np.array_equal(one.weight, again.weight)
    late = [replace(r, beats_s=r.beats_s + np.float32(0.2)) for r in clips[:3]]
    assert not np.allclose(fit_beat_filter.fit(late, SPEC, QUICK).weight, one.weight)
    with pytest.raises(ValueError, match="no record has beats"):
        fit_beat_filter.fit([replace(clips[0], beats_s=clips[0].beats_s[:0])], SPEC, QUICK)


def test_a_stretched_clip_moves_faster_and_its_beats_come_closer(clips: list[ClipFeatures]) -> None:
    rows = motion_input(clips[0].between, SPEC)
    fast = fit_beat_filter._stretched(rows, 1.25)
    assert len(fast) == round(len(rows) / 1.25)
    np.testing.assert_allclose(fast[4], 1.25 * rows[5], rtol=1e-5)
    assert fit_beat_filter._stretched(rows, 1.0) is rows


def test_the_network_stays_and_the_run_is_read_again(
    clips: list[ClipFeatures], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny("small")
    network = build(recipe.model, recipe.features, seed=1).eval()
    before = tmp_path / "before"
    before.mkdir()
    (before / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    model = fit_beat_filter.attach(network, fit_beat_filter.fit(clips[:3], SPEC, QUICK))
    fit_beat_filter.save_run(before, tmp_path / "after", model)
    loaded = load_run(tmp_path / "after")
    assert loaded.config.beat_filter_reach == QUICK.reach
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    rows = motion_input(clips[5].between, SPEC)
    known_names, theirs = model.filtered(rows), loaded.filtered(rows)
    assert known_names is not None
    assert theirs is not None
    assert np.array_equal(known_names, theirs)


@pytest.mark.parametrize(
    ("main", "words"), [(fit_beat_filter.main, ["out"]), (folds.main, [])], ids=["beat_filter", "folds"]
)
def test_clips_without_beats_are_said_to_teach_nothing(
    main: Callable[[], None], words: list[str], clips: list[ClipFeatures], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for record in clips[:3]:
        save_record(tmp_path / "real", replace(record, beats_s=record.beats_s[:0]))
    monkeypatch.setattr("sys.argv", ["program", "run", *words, "--real", str(tmp_path / "real")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "beats" in capsys.readouterr().err


@pytest.mark.slow
def test_folds_of_one_source_are_refused_unless_it_is_parted_by_song(
    clips: list[ClipFeatures], tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    recipe = tiny("small")
    network = build(recipe.model, recipe.features, seed=1)
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    fit_beat_filter.save_run(tmp_path / "before", tmp_path / "run", network)
    for record in clips[:4]:
        save_record(tmp_path / "real", replace(record, source="room"))
    words = ["program", str(tmp_path / "run"), "--real", str(tmp_path / "real"), "--folds", "2", "--seeds", "1"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="2"):
        folds.main()
    assert "--by-song" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*words, "--by-song", "room"])
    folds.main()
    assert "lift" in capsys.readouterr().out


@pytest.mark.slow
def test_no_clip_is_read_by_a_filter_that_knows_its_song_or_source(
    clips: list[ClipFeatures], tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[set[str]] = []
    real_fit = fit_beat_filter.fit

    def fit(records: Sequence[ClipFeatures], video: VideoSpec) -> fit_beat_filter.Fit:
        known.append({r.song_id for r in records} | {r.source for r in records})
        return real_fit(records, video, QUICK)

    read: list[set[str]] = []
    predict_all = folds.predict_all

    def see(network: object, records: Sequence[ClipFeatures]) -> object:
        read.append({r.song_id for r in records} | {r.source for r in records})
        return predict_all(network, records)  # type: ignore[arg-type]

    monkeypatch.setattr(folds, "fit", fit)
    monkeypatch.setattr(folds, "predict_all", see)
    recipe = tiny("small")
    figures = folds.measure(build(recipe.model, recipe.features), clips, 3, range(2), frozenset())
    assert len(known) == len(read) - 1 == 6  # the first reading is the bare network's
    assert not any(known_names & theirs for known_names, theirs in zip(known, read[1:], strict=True))
    assert all(len(row["lift"]) == 2 and len(row["bare_lift"]) == 1 for row in figures.values())
    summary = folds.summary(figures, clips)
    mean, low, high = summary["real, clip-0"]["lift"]
    assert low <= mean <= high
