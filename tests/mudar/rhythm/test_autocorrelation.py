"""The phase-free vector of many curves: against sums written out, and against what it must not hear."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.rhythm.autocorrelation import MAX_LAG_S, MIN_LAG_S, autocorrelation_vector, lags_s, smooth_over_segments

FPS = 15.0


def pulses(bpm: float, seconds: float = 8.0, phase: float = 0.0) -> np.ndarray:
    """Bumps of 60 ms at each beat."""
    beat = np.arange(round(seconds * FPS)) / FPS * bpm / 60 + phase
    return np.exp(-0.5 * ((beat - np.rint(beat)) * 60 / bpm / 0.06) ** 2)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def of(bpm: float, phase: float = 0.0) -> np.ndarray:
    return unit(autocorrelation_vector(pulses(bpm, phase=phase)[:, None], FPS, 64))


@settings(max_examples=25)
@given(st.floats(0, 1), st.sampled_from([80, 110, 145]))
def test_it_knows_no_phase(phase: float, bpm: int) -> None:
    assert of(bpm, phase) @ of(bpm) > 0.95


def test_it_tells_tempi_apart() -> None:
    vectors = np.stack([of(bpm) for bpm in (80, 87, 95, 113, 134)])
    alike = vectors @ vectors.T
    assert (alike[~np.eye(5, dtype=bool)] < 0.5).all()


def test_curves_that_take_turns_repeat_as_each_of_them_does() -> None:
    """Their sum is even and repeats twice as fast: what the mean speed of a dancer does."""
    left, right = pulses(60), pulses(60, phase=0.5)
    vector = unit(autocorrelation_vector(np.stack([left, right], axis=1), FPS, 64))
    assert vector @ of(60) > 0.95
    assert vector @ unit(autocorrelation_vector((left + right)[:, None], FPS, 64)) < 0.9


def test_it_is_the_mean_product_at_each_lag_less_that_of_the_lags_around() -> None:
    curves = np.random.default_rng(0).random((240, 2))
    calm = curves - curves.mean(axis=0)
    lags = np.rint(lags_s(64) * 240).astype(int)  # at 240 frames a second every lag is nearly a whole frame
    vector = autocorrelation_vector(np.repeat(curves, 16, axis=0), 240.0, 64, (1.0, 3.0))
    slow = np.repeat(calm, 16, axis=0)
    each = slow / np.linalg.norm(slow, axis=0)
    product = [[each[:-lag, c] @ each[lag:, c] * len(slow) / (len(slow) - lag) for c in (0, 1)] for lag in lags]
    plain = np.array(product) @ np.array([0.25, 0.75])
    step_octaves = np.log2(MAX_LAG_S / MIN_LAG_S) / 63
    distance = (np.arange(-63, 127)[None] - np.arange(64)[:, None]) * step_octaves / 0.2
    near = np.exp(-0.5 * distance**2) * (np.abs(distance) <= 4)
    local = near @ plain[np.clip(np.arange(-63, 127), 0, 63)] / near.sum(axis=1)
    assert np.corrcoef(vector, plain - local)[0, 1] > 0.99
    assert np.abs(vector - (plain - local)).max() < 0.03


def test_lags_longer_than_a_short_clip_can_tell_are_left_out() -> None:
    vector = autocorrelation_vector(pulses(120, seconds=3.0)[:, None], FPS, 64)
    too_long = lags_s(64) > 0.7 * 3.0
    assert vector.shape == (64,)
    assert not vector[too_long].any()
    assert vector[~too_long].any()


def test_nothing_that_moves_gives_zeros() -> None:
    assert not autocorrelation_vector(np.ones((120, 4)), FPS, 64).any()
    assert not autocorrelation_vector(np.zeros((1, 4)), FPS, 64).any()
    still = np.stack([pulses(100), np.ones(120)], axis=1)
    np.testing.assert_allclose(unit(autocorrelation_vector(still, FPS, 64, (1.0, 5.0))), of(100), atol=1e-6)


def test_context_weighs_neighbours_by_their_distance() -> None:
    vectors = np.eye(3)
    alone = smooth_over_segments(vectors, np.array([0.0, 4.0, 40.0]), 0.0)
    np.testing.assert_array_equal(alone, np.eye(3, dtype=np.float32))
    vector = smooth_over_segments(vectors, np.array([0.0, 4.0, 40.0]), 12.0)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, atol=1e-6)
    assert vector[0, 0] > vector[0, 1] > 10 * vector[0, 2]
    assert vector[0, 1] / vector[0, 0] == pytest.approx(np.exp(-0.5 * (4 / 12) ** 2), abs=1e-6)
    assert not smooth_over_segments(np.zeros((2, 3)), np.array([0.0, 4.0]), 12.0).any()
