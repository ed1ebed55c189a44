"""Accents: quick into a landing, slow after it, and nothing moved."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.retarget.warp.speed_ramps import ACCENT_DEPTH, ACCENT_REACH_S, apply_speed_ramps, speed_pulse
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, time_map

BOUNDS = (0.67, 1.5)


def steady(speed: float, accent: float, which: np.ndarray | None = None) -> TimeMap:
    beats = np.arange(0, 5, 0.5)
    plain = time_map(beats, beats * speed, BOUNDS)
    return apply_speed_ramps(plain, np.ones(len(beats), bool) if which is None else which, SpeedLimits(BOUNDS, accent))


def test_speeds_up_into_a_landing_and_slows_after() -> None:
    gentle, strong = steady(1.0, 0.2), steady(1.0, 1.0)
    before, after = 2.0 - ACCENT_REACH_S, 2.0 + ACCENT_REACH_S
    for warp in (gentle, strong):
        np.testing.assert_allclose(warp.source_s(np.arange(0, 5, 0.5)), np.arange(0, 5, 0.5), atol=1e-12)
    assert gentle.speed(before) == pytest.approx(1 + 0.2 * ACCENT_DEPTH)
    assert gentle.speed(after) == pytest.approx(1 - 0.2 * ACCENT_DEPTH)
    assert strong.speed(before) == pytest.approx(1.5)  # all the room there is
    assert strong.speed(after) == pytest.approx(0.67)


def test_between_two_landings_it_only_gains_speed() -> None:
    speed = steady(1.0, 0.5).speed(np.linspace(2.0 + ACCENT_REACH_S, 2.5 - ACCENT_REACH_S, 60))
    assert np.all(np.diff(speed) > -1e-9)
    assert speed[40] - speed[20] > 0.02


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.3])
def test_the_pulse_foretells_the_accented_speed(speed: float) -> None:
    at_s, added = speed_pulse(np.array([speed]), SpeedLimits(BOUNDS, 0.5))
    moments = np.linspace(-0.12, 0.12, 49)
    foretold, real = np.interp(moments, at_s, added[0]), steady(speed, 0.5).speed(2.0 + moments)
    assert np.ptp(foretold) == pytest.approx(np.ptp(real), rel=0.25)
    assert np.corrcoef(foretold, real)[0, 1] > 0.97


@pytest.mark.parametrize("speed", [0.7, 0.78, 1.3, 1.45])
def test_near_a_bound_the_other_side_makes_the_blow(speed: float) -> None:
    warp = steady(speed, 0.5)
    low, high = warp.speed_range()
    assert low >= BOUNDS[0] - 1e-9
    assert high <= BOUNDS[1] + 1e-9
    room = min(speed - BOUNDS[0], BOUNDS[1] - speed)
    assert warp.speed(1.95) - warp.speed(2.05) > 1.2 * 2 * min(room, 0.25 * speed)  # more than a symmetric one has


def test_spares_knots_that_are_no_landing() -> None:
    which = np.ones(10, bool)
    which[[3, 4, 5]] = False
    warp = steady(1.0, 1.0, which)
    assert warp.speed([1.95, 2.0, 2.05]) == pytest.approx([1, 1, 1], abs=1e-9)
    assert warp.speed(3.45) > 1.2


def test_none_is_the_plain_map() -> None:
    times = np.linspace(-1, 6, 300)
    np.testing.assert_allclose(steady(1.2, 0.0).source_s(times), 1.2 * times, atol=1e-12)


def test_more_nodes_are_the_same_map() -> None:
    music, source = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.9, 2.0, 3.2])
    plain = time_map(music, source, BOUNDS)
    finer = plain.with_nodes([-1.0, 0.5, 1.05, 1.7, 2.5, 9.0])
    assert finer.output_s.tolist() == [-1, 0, 0.5, 1, 1.7, 2, 2.5, 3, 9]  # too near ones are left out
    times = np.linspace(-2, 10, 300)
    np.testing.assert_allclose(finer.source_s(times), plain.source_s(times), atol=1e-12)
