"""Tempo, beats and rhythm vectors of curves whose tempo is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.rhythm.tempo import bar_starts, lags_s, rhythm_vector, tempo, track_beats

FPS = 15.0


def pulses(bpm: float, duration_s: float = 30.0, phase: float = 0.3, noise: float = 0.1) -> np.ndarray:
    """A curve with a bell on each beat, and noise."""
    beat = np.arange(round(duration_s * FPS)) / FPS * bpm / 60 + phase
    away_s = np.abs(beat - np.rint(beat)) * 60 / bpm
    return np.exp(-0.5 * (away_s / 0.05) ** 2) + noise * np.random.default_rng(0).random(len(beat))


@pytest.mark.parametrize("bpm", range(60, 181, 12))
def test_tempo_of_pulses(bpm: int) -> None:
    found, alternatives = tempo(pulses(bpm), FPS)
    assert found == pytest.approx(bpm, rel=0.02)
    assert alternatives[0][0] == found
    assert sorted(other / found for other, _ in alternatives) == pytest.approx([0.5, 1, 2])
    assert sum(weight for _, weight in alternatives) == pytest.approx(1)
    weights = [weight for _, weight in alternatives]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("bpm", [72, 96, 128])
def test_tempo_of_a_sway(bpm: int) -> None:
    curve = 0.5 + 0.5 * np.sin(2 * np.pi * bpm / 60 * np.arange(300) / FPS)
    assert tempo(curve, FPS)[0] == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("duration_s", [3.0, 6.0, 60.0])
def test_tempo_of_short_and_long(duration_s: float) -> None:
    assert tempo(pulses(120, duration_s), FPS)[0] == pytest.approx(120, rel=0.04)


def test_accents_do_not_change_the_tempo() -> None:
    curve = pulses(120) * np.where(np.arange(450) // 15 % 2, 1.0, 0.6)
    assert tempo(curve, FPS)[0] == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("curve", [np.zeros(100), np.ones(100), np.zeros(0), np.zeros(1), np.array([0.0, 1.0])])
def test_nothing_that_repeats_has_no_tempo(curve: np.ndarray) -> None:
    assert tempo(curve, FPS) == (0.0, ())
    assert len(track_beats(curve, FPS, 0.0)) == 0


@pytest.mark.parametrize("bpm", [66, 100, 140, 176])
def test_beats_lie_on_the_pulses(bpm: int) -> None:
    beats_s = track_beats(pulses(bpm), FPS, bpm)
    true_s = (np.arange(-1, 200) + 0.7) * 60 / bpm
    assert np.quantile(np.abs(beats_s[:, None] - true_s).min(axis=1), 0.9) < 0.03
    assert len(beats_s) == pytest.approx(30 * bpm / 60, abs=2)


def test_beats_bridge_a_pause() -> None:
    curve = pulses(120)
    curve[150:210] = 0
    beats_s = track_beats(curve, FPS, 120)
    assert np.diff(beats_s).max() < 0.75


def test_beats_follow_a_drift() -> None:
    beats_of_t = lambda t: 1.8 * t + 0.005 * t**2  # noqa: E731  108 to 126 bpm in 30 s
    beat = beats_of_t(np.arange(450) / FPS)
    curve = np.exp(-0.5 * (np.abs(beat - np.rint(beat)) * 0.53 / 0.05) ** 2)
    found = beats_of_t(track_beats(curve, FPS, 117).astype(np.float64))
    assert np.median(np.abs(found - np.rint(found))) < 0.06


def test_bars_begin_where_the_downbeat_curve_is_high() -> None:
    beats_s = (0.25 + 0.5 * np.arange(32)).astype(np.float32)
    curve = np.zeros(300)
    curve[np.rint(beats_s[2::4] * FPS).astype(int)] = 1.0
    np.testing.assert_array_equal(bar_starts(beats_s, curve, FPS), beats_s[2::4])
    assert len(bar_starts(beats_s[:3], curve, FPS)) == 0


@settings(max_examples=25)
@given(st.floats(0, 1), st.sampled_from([80, 110, 145]))
def test_a_tempo_vector_knows_no_phase(phase: float, bpm: int) -> None:
    here = rhythm_vector(pulses(bpm, 8, phase, 0), FPS, 64)
    there = rhythm_vector(pulses(bpm, 8, 0.0, 0), FPS, 64)
    assert float(here @ there) > 0.98


def test_a_tempo_vector_tells_tempi_apart() -> None:
    vectors = np.stack([rhythm_vector(pulses(bpm, 8), FPS, 64) for bpm in (80, 95, 113, 134, 159)])
    alike = vectors @ vectors.T
    assert (alike[~np.eye(5, dtype=bool)] < 0.6).all()


def test_a_tempo_vector_is_the_mean_product_at_each_lag() -> None:
    """Two entries that stand for whole frames, against the sum written out."""
    curve = np.random.default_rng(0).random(400)
    calm, lags = curve - curve.mean(), lags_s(4)  # 0.25, 0.5, 1, 2 s
    vector = rhythm_vector(curve, 40.0, 4)
    expected = np.array([calm[:-lag] @ calm[lag:] / (400 - lag) for lag in (10, 20, 40, 80)])
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
