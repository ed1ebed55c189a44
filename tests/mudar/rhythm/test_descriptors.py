"""R as each ModelConfig asks, of a dance and of music that keep the same tempo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.features.windows import windows
from mudar.model.config import ModelConfig, small
from mudar.rhythm.autocorrelation import lags_s
from mudar.rhythm.descriptors import TEMPO_LAGS_S, dance_descriptor, music_descriptor, rhythm_vector
from mudar.spec import FeatureSpec

SPEC = FeatureSpec()
FPS = SPEC.video.fps


def pulses(bpm: float, frames: int, phase: float = 0.0) -> np.ndarray:
    beat = np.arange(frames) / FPS * bpm / 60 + phase
    return np.exp(-0.5 * ((beat - np.rint(beat)) * 60 / bpm / 0.06) ** 2).astype(np.float32)


def dancer(bpm: float, frames: int) -> np.ndarray:
    """(T, M): two cells of the grid move in turn, each every other beat; the others hardly."""
    rows = np.random.default_rng(0).random((frames, SPEC.video.motion_dim)).astype(np.float32) * 0.01
    cells = SPEC.video.hoof_bins + 1
    rows[:, cells] += pulses(bpm / 2, frames)
    rows[:, cells + 40] += pulses(bpm / 2, frames, 0.5)
    rows[:, SPEC.video.hoof_bins] += rows[:, cells] + rows[:, cells + 40]
    return rows


CONFIGS = {
    "tempo": replace(small(), rhythm_vector="tempo", rhythm_vector_from="head"),
    "curve": replace(small(), rhythm_vector="curve", rhythm_vector_from="deceleration"),
    "head": replace(small(), rhythm_vector="repeats", rhythm_vector_from="head"),
    "grid": small(),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("frames", [30, 120, 301])
def test_each_segment_has_a_vector_of_norm_one(config: ModelConfig, frames: int) -> None:
    where = windows(frames / FPS, frames, SPEC)
    line = pulses(110, frames)
    for vectors in (
        dance_descriptor(config, SPEC.video, dancer(110, frames), line, where),
        music_descriptor(config, SPEC.video, line, line, where),
    ):
        assert vectors.shape == (len(where), config.rhythm_dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_dance_finds_music_of_its_tempo() -> None:
    frames, tempi = 300, (80, 92, 106, 122, 140)
    where = windows(frames / FPS, frames, SPEC)
    dances = [dance_descriptor(small(), SPEC.video, dancer(bpm, frames), pulses(bpm, frames), where) for bpm in tempi]
    songs = [
        music_descriptor(small(), SPEC.video, pulses(bpm, frames, 0.3), pulses(bpm, frames, 0.3), where)
        for bpm in tempi
    ]
    scores = np.array([[(dance @ song.T).max() for song in songs] for dance in dances])
    np.testing.assert_array_equal(scores.argmax(axis=1), range(5))
    np.testing.assert_array_equal(scores.argmax(axis=0), range(5))


def test_without_a_grid_the_directions_are_compared() -> None:
    spec = replace(SPEC.video, grid=0)
    rows = dancer(100, 150)[:, : spec.motion_dim]
    rows[:, 3] += pulses(100, 150)
    vectors = dance_descriptor(small(), spec, rows, pulses(100, 150), windows(10.0, 150, SPEC))
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


def test_one_curve_cannot_be_taken_from_a_grid() -> None:
    with pytest.raises(ValueError, match="grid"):
        replace(small(), rhythm_vector="tempo", rhythm_vector_from="grid")


@settings(max_examples=25)
@given(st.floats(0, 1), st.sampled_from([80, 110, 145]))
def test_a_tempo_vector_knows_no_phase(phase: float, bpm: int) -> None:
    here = rhythm_vector(pulses(bpm, 120, phase), FPS, 64)
    there = rhythm_vector(pulses(bpm, 120, 0.0), FPS, 64)
    assert float(here @ there) > 0.98


def test_a_tempo_vector_tells_tempi_apart() -> None:
    vectors = np.stack([rhythm_vector(pulses(bpm, 120), FPS, 64) for bpm in (80, 95, 113, 134, 159)])
    alike = vectors @ vectors.T
    assert (alike[~np.eye(5, dtype=bool)] < 0.6).all()


def test_a_tempo_vector_is_the_mean_product_at_each_lag() -> None:
    """Two entries that stand for whole frames, against the sum written out."""
    curve = np.random.default_rng(0).random(400)
    centered, lags = curve - curve.mean(), lags_s(4, *TEMPO_LAGS_S)  # 0.25, 0.5, 1, 2 s
    vector = rhythm_vector(curve, 40.0, 4)
    expected = np.array([centered[:-lag] @ centered[lag:] / (400 - lag) for lag in (10, 20, 40, 80)])
    np.testing.assert_allclose(lags * 40, [10, 20, 40, 80])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("kind", ["tempo", "curve", "both"])
def test_vectors_have_their_length_and_norm_one(kind: str) -> None:
    for frames in (15, 40, 120):
        vector = rhythm_vector(np.random.default_rng(1).random(frames), FPS, 64, kind)  # type: ignore[arg-type]
        assert vector.shape == (64,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert not rhythm_vector(np.zeros(120), FPS, 64, kind).any()  # type: ignore[arg-type]


def test_the_papers_vector_is_the_curve() -> None:
    curve = np.random.default_rng(2).random(64)
    expected = (curve - curve.mean()) / np.linalg.norm(curve - curve.mean())
    np.testing.assert_allclose(rhythm_vector(curve, FPS, 64, "curve"), expected, atol=1e-6)
