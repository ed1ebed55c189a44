"""Strokes against their own regularity."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.records import Rhythm
from mudar.rhythm.smoothing import FAR_S, SHARE, smooth_taps, smooth_times


def drifting(count: int, period_s: float = 0.5) -> np.ndarray:
    """Strokes of a tempo that swings by 4 % within 20 strokes."""
    return 0.3 + np.cumsum(period_s * (1 + 0.04 * np.sin(np.arange(count) / 6)))


@pytest.mark.parametrize("seed", range(4))
def test_errors_of_measurement_shrink(seed: int) -> None:
    true_s = drifting(40)
    heard = true_s + np.random.default_rng(seed).normal(0, 0.02, 40)
    assert np.std(smooth_times(heard) - true_s) < 0.75 * np.std(heard - true_s)


def test_what_is_regular_stays() -> None:
    np.testing.assert_allclose(smooth_times(0.2 + 0.5 * np.arange(30)), 0.2 + 0.5 * np.arange(30), atol=1e-6)
    assert np.abs(smooth_times(drifting(40)) - drifting(40)).max() < 0.01


def test_gaps_and_strokes_between_beats_keep_their_place() -> None:
    beats = 0.4 + 0.6 * np.arange(30)
    some = np.sort(np.concatenate([np.delete(beats, [4, 5, 11, 20]), beats[14:16] + 0.3]))
    np.testing.assert_allclose(smooth_times(some), some, atol=1e-5)


def test_a_stroke_that_is_far_off_is_left_alone() -> None:
    times = 0.2 + 0.5 * np.arange(30)
    times[12] += 0.11
    assert smooth_times(times)[12] == pytest.approx(times[12], abs=1e-6)
    assert np.abs(np.delete(smooth_times(times) - times, 12)).max() < 0.02


@given(st.lists(st.floats(0.2, 3.0), max_size=80))
def test_nothing_moves_far_nor_past_another(gaps: list[float]) -> None:
    times = np.cumsum(gaps).astype(np.float32)
    moved = smooth_times(times)
    assert len(moved) == len(times)
    assert np.all(np.diff(moved) >= 0)
    assert np.abs(moved - times).max(initial=0.0) <= SHARE * FAR_S + 1e-4


def test_an_hour_of_strokes_needs_little_memory() -> None:
    import tracemalloc

    times = drifting(7200)
    tracemalloc.start()
    smooth_times(times)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_taps_go_to_what_the_body_does() -> None:
    """A hand that scatters by 25 ms about a body that stops on each stroke, its speed known 30 times a second."""
    true_s = 0.6 + 0.5 * np.arange(36)
    clock = np.arange(0, 19, 1 / 600)
    since = (clock - true_s[0]) % 0.5
    gone = np.cumsum(np.where(since > 0.25, since, 0.0)) / 600  # quicker and quicker, then still
    none = np.zeros(0, np.float32)
    speed = np.diff(np.interp(np.arange(0, 19, 1 / 30), clock, gone)).astype(np.float32) * 30
    dance = Rhythm(none, none, none, 15.0, 120.0, speed=speed[:, None] * np.float32([0.5, 0, 0.5, 0]), speed_fps=30.0)
    taps = true_s + np.random.default_rng(1).normal(0, 0.025, len(true_s))
    errors = {name: np.std(smoothed - true_s) for name, smoothed in (
        ("tapped", taps), ("smoothed", smooth_times(taps)), ("by speed", smooth_taps(taps, dance)))}  # fmt: skip
    assert errors["smoothed"] < 0.8 * errors["tapped"]
    assert errors["by speed"] < 0.6 * errors["smoothed"]
    directed = dataclasses.replace(dance, speed=speed[:, None] * np.array([0.5, 0.0, 0.2, 0.3], np.float32))
    np.testing.assert_allclose(smooth_taps(taps, directed), smooth_taps(taps, dance), atol=1e-4)
