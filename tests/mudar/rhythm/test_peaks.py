"""Strokes from curves, and snapped to motions whose strokes are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.rhythm.peaks import snap_to_motion, strokes_from_curve
from tests.mudar.rhythm.sway import film, sway

Times = np.ndarray
FPS = 15.0


def bumps(times_s: Times, duration_s: float, heights: Times | float = 1.0, width_s: float = 0.06) -> Times:
    """A curve at 15 frames a second with a bell at each time."""
    clock = np.arange(round(duration_s * FPS)) / FPS
    heights = np.broadcast_to(heights, len(times_s))
    return np.max(heights * np.exp(-0.5 * ((clock[:, None] - times_s) / width_s) ** 2), axis=1)


@given(st.floats(0.3, 0.6), st.floats(0.0, 0.3))
def test_strokes_are_found_between_frames(first_s: float, jitter: float) -> None:
    true_s = first_s + 0.5 * np.arange(15) + jitter * 0.2 * np.sin(np.arange(15))
    times_s, strengths = strokes_from_curve(bumps(true_s, 8.5), FPS)
    assert len(times_s) == 15
    assert np.abs(times_s - true_s).max() < 0.012  # a frame is 67 ms
    assert (strengths > 0.7).all()


def test_strengths_say_how_far_a_stroke_stands_out() -> None:
    heights = np.tile([0.9, 0.3], 6)
    times_s, strengths = strokes_from_curve(bumps(0.5 + 0.6 * np.arange(12), 8.0, heights), FPS)
    assert len(times_s) == 12
    assert (strengths[::2] > 2 * strengths[1::2]).all()


def test_a_network_that_is_not_sure_gives_weak_strokes() -> None:
    unsure = 0.4 + 0.02 * bumps(0.5 + 0.5 * np.arange(15), 8.5)
    times_s, strengths = strokes_from_curve(unsure, FPS)
    assert len(times_s) == 15
    assert strengths.max() <= 0.02


def test_two_strokes_are_never_nearer_than_the_gap() -> None:
    curve = np.random.default_rng(0).random(300)
    times_s, _ = strokes_from_curve(curve, FPS, min_gap_s=0.4, threshold=0.0)
    assert len(times_s) > 20
    assert np.diff(times_s).min() > 0.4 - 1 / FPS


@pytest.mark.parametrize("curve", [np.zeros(50), np.full(50, 0.7), np.zeros(0), np.zeros(2)])
def test_no_strokes_where_nothing_happens(curve: Times) -> None:
    times_s, strengths = strokes_from_curve(curve, FPS)
    assert len(times_s) == len(strengths) == 0


PHASE = {"speed peak": 0.0, "deceleration": 0.25, "speed minimum": 0.5}


@pytest.mark.parametrize("fps", [24, 30, 60])
@pytest.mark.parametrize("kind", PHASE)
def test_strokes_move_to_what_the_body_does(fps: int, kind: str) -> None:
    """Coarse strokes scatter by half a model frame; snapped ones do by well under half a native one."""
    period_s = 0.52
    native_times_s, moved = film(sway(period_s, 0.137), fps)
    true_s = 0.137 + period_s * (np.arange(1, 36) + PHASE[kind])
    coarse = true_s + np.random.default_rng(2).uniform(-1 / 30, 1 / 30, len(true_s))
    snapped = snap_to_motion(coarse.astype(np.float32), native_times_s, moved)
    assert np.median(np.abs(snapped - true_s)) < 0.4 * 0.5 / 24  # 8 ms, whatever the frame rate
    assert np.abs(snapped - true_s).mean() < 0.6 * np.abs(coarse - true_s).mean()
    assert np.std(snapped - true_s) < 0.5 * np.std(coarse - true_s)


def test_a_learnt_distance_from_the_extremum_is_kept() -> None:
    """A network that strikes 60 ms before the body is fastest goes on doing so, only evenly."""
    native_times_s, moved = film(sway(0.6, 0.2), 30, noise=0.0)
    true_s = 0.2 + 0.6 * np.arange(1, 31)
    coarse = true_s - 0.06 + np.random.default_rng(3).uniform(-0.03, 0.03, 30)
    snapped = snap_to_motion(coarse.astype(np.float32), native_times_s, moved)
    assert np.median(snapped - true_s) == pytest.approx(-0.06, abs=0.012)
    assert np.std(snapped - true_s) < 0.005


def test_no_stroke_moves_by_more_than_the_window_nor_past_another() -> None:
    native_times_s, moved = film(sway(0.5, 0.1), 30)
    coarse = np.sort(np.random.default_rng(4).uniform(0.2, 19, 40)).astype(np.float32)
    snapped = snap_to_motion(coarse, native_times_s, moved, window_s=0.05)
    assert np.abs(snapped - coarse).max() <= 0.0501
    assert (np.diff(snapped) >= 0).all()


def test_strokes_that_go_with_nothing_stay() -> None:
    """Strokes drawn at random have no extremum; a motion of even speed offers none."""
    native_times_s, moved = film(sway(0.9, 0.1), 30)
    at_random = np.cumsum(np.random.default_rng(5).uniform(0.3, 0.9, 25)).astype(np.float32)
    np.testing.assert_array_equal(snap_to_motion(at_random, native_times_s, moved), at_random)
    even = np.concatenate([[0.0], np.full(599, 0.01)])
    np.testing.assert_array_equal(snap_to_motion(at_random, np.arange(600) / 30, even), at_random)


@pytest.mark.parametrize("strokes", [0, 1, 3])
def test_too_few_strokes_to_tell_a_habit_stay(strokes: int) -> None:
    native_times_s, moved = film(sway(0.5, 0.1), 30)
    few = (0.5 + 0.7 * np.arange(strokes)).astype(np.float32)
    np.testing.assert_array_equal(snap_to_motion(few, native_times_s, moved), few)


def test_snapping_is_deterministic() -> None:
    native_times_s, moved = film(sway(0.5, 0.1), 30)
    coarse = (0.35 + 0.5 * np.arange(30)).astype(np.float32)
    once, again = (snap_to_motion(coarse, native_times_s, moved) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("seed", range(4))
def test_a_loose_extremum_does_not_spoil_good_strokes(seed: int) -> None:
    """Bursts of motion that come some 50 ms off the beat the strokes are on: good strokes follow them a little."""
    rng = np.random.default_rng(seed)
    true_s = 0.4 + 0.5 * np.arange(38)
    bursts_s = true_s + rng.normal(0, 0.05, 38)
    clock = np.arange(0, 20, 1 / 600)
    path = np.cumsum(np.exp(-0.5 * ((clock[:, None] - bursts_s) / 0.06) ** 2).sum(axis=1)) / 600
    native_times_s, moved = film(lambda t: np.interp(t, clock, path), 30, noise=0.0)
    coarse = true_s + rng.normal(0, 0.012, 38)
    snapped = snap_to_motion(coarse.astype(np.float32), native_times_s, moved)
    assert not np.array_equal(snapped, coarse.astype(np.float32))
    assert np.abs(snapped - true_s).mean() < 0.45 * np.abs(bursts_s - true_s).mean()


def test_strokes_near_their_brakes_land_on_them() -> None:
    """A network that strikes 20 ms after the body brakes, and closely, is corrected; one 45 ms late means it."""
    native_times_s, moved = film(sway(0.6, 0.2), 30, noise=0.0)
    brakes_s = 0.2 + 0.6 * (np.arange(1, 31) + 0.25)
    for late_s, off_s in ((0.02, 0.0), (0.045, 0.045)):
        coarse = brakes_s + late_s + np.random.default_rng(3).uniform(-0.004, 0.004, 30)
        snapped = snap_to_motion(coarse.astype(np.float32), native_times_s, moved)
        assert np.median(snapped - brakes_s) == pytest.approx(off_s, abs=0.012)
