"""Accents: quick into a landing, slow after it, and nothing moved."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.retarget.accent import accented
from mudar.retarget.timewarp import TimeMap, time_map

BOUNDS = (0.67, 1.5)


def steady(speed: float, accent: float, which: np.ndarray | None = None) -> TimeMap:
    beats = np.arange(0, 5, 0.5)
    plain = time_map(beats, beats * speed, BOUNDS)
    return accented(plain, accent, np.ones(len(beats), bool) if which is None else which, BOUNDS)


def test_speeds_up_into_a_landing_and_slows_after() -> None:
    gentle, strong = steady(1.0, 0.3), steady(1.0, 1.0)
    for warp in (gentle, strong):
        np.testing.assert_allclose(warp.source_s(np.arange(0, 5, 0.5)), np.arange(0, 5, 0.5), atol=1e-12)
    assert gentle.speed(1.95) == pytest.approx(1.3)
    assert gentle.speed(2.05) == pytest.approx(0.7)
    assert strong.speed(1.95) == pytest.approx(1.5)  # all the room there is
    assert strong.speed(2.05) == pytest.approx(0.67)


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
