"""Refined anchors: as by brute force on small inputs, inside the bounds on all, right where impacts are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.retarget.warp import anchor_refinement
from mudar.retarget.warp.anchor_refinement import CHANGE, FURTHEST_S, REACH_S, ROOM, SPEED, refine_anchors
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, max_speed_step

BOUNDS = (0.67, 1.5)
PLAIN = TimeMap(np.zeros(1), np.zeros(1), np.ones(1))
NO_STROKES = np.zeros(0)


def cost(beats: np.ndarray, source: np.ndarray, bounds: tuple[float, float]) -> float:
    """What a row of source seconds pays, by the definition; inf where it is not allowed."""
    speed = np.diff(source) / np.diff(beats)
    if (speed < bounds[0] + ROOM).any() or (speed > bounds[1] - ROOM).any():
        return np.inf
    if (np.abs(np.diff(speed)) > max_speed_step(*bounds) * (1 - 1e-6)).any():
        return np.inf
    return float(SPEED * (np.diff(beats) * np.log(speed) ** 2).sum() + CHANGE * (np.diff(np.log(speed)) ** 2).sum())


@settings(max_examples=40)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_finds_what_brute_force_finds(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    beats = np.cumsum(rng.uniform(0.3, 0.7, count))
    source = beats[:, None] * rng.uniform(0.8, 1.2) + rng.uniform(-0.2, 0.2, (count, 4))
    gain = rng.random((count, 4))
    best = max(
        sum(gain[j, c] for j, c in enumerate(row)) - cost(beats, source[np.arange(count), list(row)], BOUNDS)
        for row in itertools.product(range(4), repeat=count)
    )
    chosen = anchor_refinement._best(beats, source, gain, BOUNDS)
    if chosen is None:
        assert best == -np.inf
        return
    rows = np.arange(count)
    assert gain[rows, chosen].sum() - cost(beats, source[rows, chosen], BOUNDS) == pytest.approx(best, abs=1e-9)


def braking_at(moments: np.ndarray, strokes: np.ndarray = NO_STROKES) -> MotionProfile:
    """A picture that rises slowly in speed and falls suddenly at each moment."""
    clock = (np.arange(14 * 60) + 0.5) / 60
    last = np.concatenate([[-1.0], moments])[np.searchsorted(moments, clock)]
    return MotionProfile(0.02 + 0.2 * np.clip(clock - last, 0, 0.6)[:, None], 60.0, strokes)


def test_beats_move_to_the_brakes_beside_them() -> None:
    beats = np.arange(1.0, 12.0, 0.5)
    brakes = beats + np.random.default_rng(0).uniform(-0.07, 0.07, len(beats))
    anchors = refine_anchors(PLAIN, beats, braking_at(brakes), SpeedLimits(BOUNDS, 0.5))
    assert anchors is not None
    before, after = np.abs(beats - brakes), np.abs(anchors.source_s - brakes)
    assert np.median(after) < 0.02 < np.median(before)
    assert np.median(anchors.saliency) > 0.8


def test_of_two_brakes_the_networks_own_stroke_is_taken() -> None:
    beats = np.arange(1.0, 12.0, 0.5)
    both = np.sort(np.concatenate([beats - 0.1, beats + 0.1]))
    for side in (-0.1, 0.1):
        anchors = refine_anchors(PLAIN, beats, braking_at(both, beats + side), SpeedLimits(BOUNDS, 0.5))
        assert anchors is not None
        assert np.median(anchors.source_s - beats) == pytest.approx(side, abs=0.025)


@settings(max_examples=25)
@given(st.lists(st.floats(0.2, 1.5), min_size=3, max_size=25), st.floats(0.75, 1.4), st.integers(0, 9))
def test_the_bounds_hold_and_nobody_strays(gaps: list[float], speed: float, seed: int) -> None:
    beats = np.cumsum(gaps)
    warp = TimeMap(np.zeros(1), np.array([1.0]), np.array([speed]))
    profile = MotionProfile(np.random.default_rng(seed).gamma(2.0, 0.05, (1500, 1)), 30.0, NO_STROKES)
    anchors = refine_anchors(warp, beats, profile, SpeedLimits(BOUNDS, 1.0))
    if anchors is None:
        return
    low, high = anchors.warp.speed_range()
    assert BOUNDS[0] - 1e-9 <= low <= high <= BOUNDS[1] + 1e-9
    reach_s = min(max(float(np.median(np.diff(beats))) / 2, REACH_S), FURTHEST_S)
    assert np.abs(anchors.source_s - warp.source_s(beats)).max() <= anchor_refinement.ROUNDS * reach_s + 1e-9
    np.testing.assert_allclose(anchors.warp.source_s(beats), anchors.source_s, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_beats_stay(count: int) -> None:
    assert refine_anchors(PLAIN, np.arange(count) * 0.5, braking_at(np.arange(9.0)), SpeedLimits(BOUNDS, 0.5)) is None


def test_a_chain_that_is_half_a_beat_off_reaches_the_brakes() -> None:
    beats = np.arange(1.0, 13.0, 1.2)
    anchors = refine_anchors(PLAIN, beats, braking_at(beats + 0.6), SpeedLimits(BOUNDS, 0.0))
    assert anchors is not None
    assert anchors.saliency.mean() > 0.7
    on_time = refine_anchors(PLAIN, beats, braking_at(beats), SpeedLimits(BOUNDS, 0.0))
    assert on_time is not None
    assert np.abs(on_time.source_s - beats).max() < 0.03  # what is right stays
