"""Packed records come back as the network needs them: events exactly, motion and music to less than it can tell."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from model_store.loader import load_served
from mudar.model.inputs import motion_input
from training.data.compact_format import pack, unpack
from training.data.extract import GeneratedJob, extract
from training.data.records import ClipFeatures
from training.evaluation.inference import predict

pytestmark = pytest.mark.slow

SPEC = load_served().spec


@pytest.fixture(scope="module")
def real_features() -> list[ClipFeatures]:
    return [extract(GeneratedJob(f"clip-{seed}", seed, seed, 9.0), SPEC) for seed in (1, 2)]


def test_what_comes_back_is_what_went_in(real_features: list[ClipFeatures], tmp_path: Path) -> None:
    size = pack(real_features, SPEC, tmp_path / "packed.zip")
    again = unpack(tmp_path / "packed.zip")
    assert size < 4_500 * sum(record.duration_s for record in real_features)
    assert [record.clip_id for record in again] == ["clip-1", "clip-2"]
    for mine, theirs in zip(real_features, again, strict=True):
        for field in fields(ClipFeatures):
            before, after = getattr(mine, field.name), getattr(theirs, field.name)
            if field.name in {"between", "audio", "envelope"}:
                assert before.shape == after.shape
            else:
                assert np.array_equal(before, after)
        assert np.abs(mine.envelope - theirs.envelope).max() < 0.005
        assert np.abs(mine.audio[:, 80:] - theirs.audio[:, 80:]).max() < 0.01
        motion, packed = motion_input(mine.between, SPEC.video), motion_input(theirs.between, SPEC.video)
        assert np.abs(motion - packed).mean() < 0.02 * motion.mean()


def test_the_served_network_cannot_tell_them_apart(real_features: list[ClipFeatures], tmp_path: Path) -> None:
    model = load_served().model
    pack(real_features, SPEC, tmp_path / "packed.zip")
    for mine, theirs in zip(real_features, unpack(tmp_path / "packed.zip"), strict=True):
        one, other = predict(model, mine), predict(model, theirs)
        assert np.abs(one.curves - other.curves).max() < 0.05
        assert np.abs(one.strokes_s("beat") - other.strokes_s("beat")).max() < 0.005
        # Music at half its rate: a song that begins on an onset loses a part of that.
        assert (one.music_embedding * other.music_embedding).sum(axis=1).min() > 0.985
        assert (one.dance_embedding * other.dance_embedding).sum(axis=1).min() > 0.99
