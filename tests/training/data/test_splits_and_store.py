"""Splits never leak a song or a source; records survive the disk; augmentation keeps motion and truth together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mudar.spec import FeatureSpec
from training.data.augment import Augmentation, View, cut_audio, cut_motion, soft_events
from training.data.splits import components, hold_out
from training.data.store import Record, Shelf, load_record, save_record
from training.losses.rhythm import focal
from training.preprocess import generated_jobs, real_jobs, run


def test_held_out_clips_share_no_song_and_no_source(records: list[Record]) -> None:
    mixed = [replace(r, source=f"source-{i // 4}") for i, r in enumerate(records)]
    held = set(hold_out(mixed, 0.5, seed=1))
    assert 0 < len(held) < len(mixed)
    inside, outside = [r for r in mixed if r.clip_id in held], [r for r in mixed if r.clip_id not in held]
    assert not {r.song_id for r in inside} & {r.song_id for r in outside}
    assert not {r.source for r in inside} & {r.source for r in outside}


def test_a_large_source_is_split_by_song(records: list[Record]) -> None:
    one_room = [replace(r, source="room") for r in records]
    assert len(components(one_room)) == 1
    assert [len(group) for group in components(one_room, frozenset({"room"}))] == [2, 2, 2, 2]


def test_records_survive_the_disk(records: list[Record], tmp_path: Path) -> None:
    read = load_record(save_record(tmp_path, records[0]))
    assert (read.clip_id, read.song_id, read.origin) == ("clip-0", "song-0", "generated")
    assert np.array_equal(read.strokes_s, records[0].strokes_s)  # times are exact, features half precision
    assert np.allclose(read.between, records[0].between, rtol=2e-3, atol=1e-6)
    assert Shelf(tmp_path).clip_ids() == ["clip-0"]


def test_preprocessing_goes_on_where_it_stopped_and_skips_what_it_cannot_read(tmp_path: Path) -> None:
    quiet, out = Console(quiet=True), tmp_path / "out"
    jobs = [replace(job, duration_s=2.0) for job in generated_jobs(2, 5)]
    assert run(jobs[:1], out, FeatureSpec(), 1, quiet) == {}
    stamp = (out / "gen-0000005.npz").stat().st_mtime_ns
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    failed = run(jobs + real_jobs(tmp_path / "clips", None), out, FeatureSpec(), 2, quiet)
    assert list(failed) == ["bad"]
    assert (out / "gen-0000005.npz").stat().st_mtime_ns == stamp
    assert Shelf(out).clip_ids() == ["gen-0000005", "gen-0000006"]
    record = Shelf(out).load("gen-0000006")
    assert record.between.shape == (29, 141)
    assert record.audio.shape == (241, 128)


def test_a_stretched_window_keeps_motion_and_truth_together(records: list[Record]) -> None:
    spec, rng = FeatureSpec(), np.random.default_rng(0)
    for stretch in (0.8, 1.0, 1.25):
        view = View(0.7, stretch, 100, 15.0)
        motion, inside = cut_motion(records[0], view, spec.video, Augmentation(), rng)
        target = soft_events(records[0].strokes_s, view, 0.035)
        known = inside > 0
        assert np.corrcoef(motion[known, 12], target[known])[0, 1] > 0.8
        audio = cut_audio(records[0], view, spec.audio)[:, 0]
        beats = view.to_frames(records[0].beats_s) * 8
        near = beats[(beats > 8) & (beats < 790)].round().astype(int)
        assert np.mean([audio[max(b - 1, 0) : b + 2].max() for b in near]) > 3 * audio.mean()


def test_a_mirror_twice_is_nothing(records: list[Record]) -> None:
    spec, view = FeatureSpec(), View(0.0, 1.0, 60, 15.0)
    plain, _ = cut_motion(records[1], view, spec.video, Augmentation(), np.random.default_rng(0))
    flipped, _ = cut_motion(records[1], view, spec.video, Augmentation(mirror=1.0), np.random.default_rng(0))
    assert not np.allclose(plain, flipped)
    assert np.allclose(plain.sum(axis=1), flipped.sum(axis=1), rtol=1e-4)


def test_focal_with_hard_targets_is_equation_19() -> None:
    import torch

    logits = torch.tensor([[[0.3], [-1.2], [2.0]]])
    target, mask = torch.tensor([[[1.0], [0.0], [0.0]]]), torch.ones(1, 3, 1)
    p = torch.sigmoid(logits).flatten()
    event = -0.75 * (1 - p[0]) ** 2 * p[0].log()
    rest = -0.25 * (p[1] ** 2 * (1 - p[1]).log() + p[2] ** 2 * (1 - p[2]).log())
    assert float(focal(logits, target, mask)) == pytest.approx(float(event + rest) / 3, rel=1e-5)
