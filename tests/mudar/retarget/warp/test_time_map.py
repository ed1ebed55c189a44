"""The time map: through its knots, monotone, C1, and never outside its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from mudar.errors import RetargetRefused
from mudar.retarget.warp.speed_ramps import apply_speed_ramps
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, max_speed_step, time_map

BOUNDS = st.sampled_from([(0.67, 1.5), (0.5, 2.0), (0.9, 1.1), (1.0, 1.5)])


@st.composite
def knots(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Knots that just obey the rules: mean speeds in bounds, neighbours within the allowed step."""
    low, high = draw(BOUNDS)
    step = max_speed_step(low, high)
    shares = draw(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    gaps = draw(st.lists(st.floats(0.15, 3), min_size=len(shares), max_size=len(shares)))
    speeds = [low + shares[0] * (high - low)]
    for share in shares[1:]:
        least, most = max(low, speeds[-1] - step), min(high, speeds[-1] + step)
        speeds.append(least + share * (most - least))
    music = np.concatenate([[1.0], 1.0 + np.cumsum(gaps)])
    source = np.concatenate([[2.0], 2.0 + np.cumsum(np.array(speeds) * gaps)])
    return music, source, (low, high)


@pytest.mark.slow
@settings(max_examples=60)
@given(knots(), st.floats(0, 1), st.data())
def test_bounds_hold_everywhere_and_knots_are_met(given_knots, accent: float, data: st.DataObject) -> None:
    music, source, (low, high) = given_knots
    which = np.array(data.draw(st.lists(st.booleans(), min_size=len(music), max_size=len(music))))
    warp = apply_speed_ramps(time_map(music, source, (low, high)), which, SpeedLimits((low, high), accent))
    np.testing.assert_allclose(warp.source_s(music), source, atol=1e-9)
    times = np.linspace(music[0] - 2, music[-1] + 2, 2000)
    shown = warp.source_s(times)
    measured = np.diff(shown) / np.diff(times)  # what a file would show
    assert measured.min() >= low - 1e-7
    assert measured.max() <= high + 1e-7
    slowest, fastest = warp.speed_range()
    assert low - 1e-7 <= slowest <= measured.min() + 1e-7
    assert measured.max() - 1e-7 <= fastest <= high + 1e-7
    np.testing.assert_allclose(warp.at_source(shown), times, atol=1e-6)


@settings(max_examples=50)
@given(knots(), st.floats(0, 1))
def test_agrees_with_scipys_hermite_spline(given_knots, accent: float) -> None:
    music, source, bounds = given_knots
    warp = apply_speed_ramps(time_map(music, source, bounds), np.ones(len(music), bool), SpeedLimits(bounds, accent))
    spline = CubicHermiteSpline(warp.output_s, warp.nodes_s, warp.slopes)
    times = np.linspace(music[0], music[-1], 500)
    np.testing.assert_allclose(warp.source_s(times), spline(times), atol=1e-9)
    np.testing.assert_allclose(warp.speed(times), spline.derivative()(times), atol=1e-6)


def test_what_no_bounded_map_can_meet_is_refused() -> None:
    with pytest.raises(RetargetRefused):
        time_map(np.array([0.0, 1, 2]), np.array([0.0, 1, 3]), (0.67, 1.5))
    with pytest.raises(RetargetRefused, match="abruptly"):
        time_map(np.array([0.0, 1, 2]), np.array([0.0, 0.67, 2.17]), (0.67, 1.5))


def test_shifting_moves_only_output_time() -> None:
    warp = TimeMap(np.array([3.0]), np.array([1.0]), np.array([1.0]))
    assert warp.shifted(2.5).source_s(0.5) == pytest.approx(1.0)
