"""Splits never leak a song or a source; records survive the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mudar.spec import FeatureSpec
from training.data.records import ClipFeatures, RecordStore, load_record, save_record
from training.data.splits import components, hold_out
from training.losses.rhythm import focal
from training.preprocess import Extractor, generated_jobs, real_jobs, run


def test_held_out_clips_share_no_song_and_no_source(records: list[ClipFeatures]) -> None:
    mixed = [replace(r, source=f"source-{i // 4}") for i, r in enumerate(records)]
    held_out = set(hold_out(mixed, 0.5, seed=1))
    assert 0 < len(held_out) < len(mixed)
    inside, outside = [r for r in mixed if r.clip_id in held_out], [r for r in mixed if r.clip_id not in held_out]
    assert not {r.song_id for r in inside} & {r.song_id for r in outside}
    assert not {r.source for r in inside} & {r.source for r in outside}


def test_a_large_source_is_split_by_song(records: list[ClipFeatures]) -> None:
    one_room = [replace(r, source="room") for r in records]
    assert len(components(one_room)) == 1
    assert [len(group) for group in components(one_room, frozenset({"room"}))] == [2, 2, 2, 2]


def test_records_survive_the_disk(records: list[ClipFeatures], tmp_path: Path) -> None:
    read = load_record(save_record(tmp_path, records[0]))
    assert (read.clip_id, read.song_id, read.origin) == ("clip-0", "song-0", "generated")
    assert np.array_equal(read.strokes_s, records[0].strokes_s)  # times are exact, features half precision
    assert np.allclose(read.between, records[0].between, rtol=2e-3, atol=1e-6)
    assert RecordStore(tmp_path).clip_ids() == ["clip-0"]


@pytest.mark.slow
def test_preprocessing_goes_on_where_it_stopped_and_skips_what_it_cannot_read(tmp_path: Path) -> None:
    quiet, out = Console(quiet=True), tmp_path / "out"
    jobs = [replace(job, duration_s=2.0) for job in generated_jobs(2, 5)]
    assert run(jobs[:1], Extractor(out, FeatureSpec()), 1, quiet) == {}
    stamp = (out / "gen-0000005.npz").stat().st_mtime_ns
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "bad.mp4").write_text("no video")
    failed = run(jobs + real_jobs(tmp_path / "clips", None), Extractor(out, FeatureSpec()), 2, quiet)
    assert list(failed) == ["bad"]
    assert (out / "gen-0000005.npz").stat().st_mtime_ns == stamp
    assert RecordStore(out).clip_ids() == ["gen-0000005", "gen-0000006"]
    record = RecordStore(out).load("gen-0000006")
    assert record.between.shape == (29, 141)
    assert record.audio.shape == (241, 128)


def test_focal_with_hard_targets_is_equation_19() -> None:
    import torch

    logits = torch.tensor([[[0.3], [-1.2], [2.0]]])
    target, mask = torch.tensor([[[1.0], [0.0], [0.0]]]), torch.ones(1, 3, 1)
    p = torch.sigmoid(logits).flatten()
    event = -0.75 * (1 - p[0]) ** 2 * p[0].log()
    rest = -0.25 * (p[1] ** 2 * (1 - p[1]).log() + p[2] ** 2 * (1 - p[2]).log())
    assert float(focal(logits, target, mask)) == pytest.approx(float(event + rest) / 3, rel=1e-5)
