"""Speed and extrema of motions that are known."""

import numpy as np
import pytest

from mudar.rhythm.metrics import distance_s
from mudar.rhythm.motion_speed import deceleration, motion_extrema, picture_speed
from tests.mudar.rhythm.sway import film, sway


def test_frames_shown_twice_do_not_look_like_pauses() -> None:
    """24 frames a second in a file of 30: every fifth frame repeats the one before."""
    far = sway(0.5, 0.137)
    times_s = np.arange(600) / 30
    shown_s = np.floor(times_s * 24) / 24
    moved = np.concatenate([[0.0], np.diff(far(shown_s))])
    peaks = dict(motion_extrema(times_s, moved))["speed peak"]
    true_s = 0.137 + 0.5 * np.arange(1, 38)
    assert len(peaks) == pytest.approx(len(true_s), abs=4)
    assert np.median(distance_s(true_s, peaks)) < 0.03  # the repeats themselves show the body up to 33 ms late


def test_uneven_frame_times_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(6)
    times_s = np.cumsum(rng.choice([1 / 30, 2 / 30, 1 / 20], 500))
    moved = np.concatenate([[0.0], np.diff(sway(0.6, 0.2)(times_s))])
    peaks = dict(motion_extrema(times_s, moved))["speed peak"]
    phase = (peaks - 0.2 + 0.3) % 0.6 - 0.3
    assert np.median(np.abs(phase)) < 0.008


def test_deceleration_is_the_fall_of_speed() -> None:
    np.testing.assert_allclose(deceleration(np.array([0.0, 2.0, 4.0, 2.0, 0.0])), [0, 0, 0, 2, 2])


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_picture_speed_is_the_way_over_the_time(fps: float) -> None:
    native_times_s, moved = film(sway(0.6, 0.2), fps, noise=0.0)
    speed = picture_speed(native_times_s, moved[:, None], 30.0)[:, 0]
    clock = (np.arange(len(speed)) + 0.5) / 30.0
    expected = 1 + np.cos(2 * np.pi * (clock - 0.2) / 0.6)
    assert np.abs(speed - expected).mean() < 0.08
    assert speed.sum() / 30.0 == pytest.approx(moved.sum(), rel=0.01)
    assert picture_speed(native_times_s[:1], moved[:1, None], 30.0).shape == (0, 1)


def test_picture_speed_by_direction_is_that_of_each_and_a_repetition_is_one_of_all() -> None:
    native_times_s, moved = film(sway(0.6, 0.2), 30.0, noise=0.0)
    shares = np.array([0.5, 0.0, 0.2, 0.3])
    total, directed = (picture_speed(native_times_s, moved[:, None] * share, 30.0) for share in (1.0, shares))
    np.testing.assert_allclose(directed, total * shares, atol=2e-5)
    pauses = np.tile([[1.0, 0.0], [0.0, 1.0]], (150, 1))  # turn about, but never still
    np.testing.assert_allclose(picture_speed(np.arange(300) / 30, pauses, 30.0).sum(axis=1)[5:-5], 30.0)
    assert picture_speed(native_times_s[:1], moved[:1, None] * shares, 30.0).shape == (0, 4)


def test_frames_shown_twice_are_no_pause_of_the_picture() -> None:
    """15 frames a second in a file of 30: every other frame repeats the one before."""
    times_s = np.arange(600) / 30
    moved = np.concatenate([[0.0], np.diff(sway(0.9, 0.2)(np.floor(times_s * 15) / 15))])
    at_30 = np.concatenate([[0.0], np.diff(sway(0.9, 0.2)(times_s))])
    repeated, smooth = (picture_speed(times_s, displacement[:, None], 30.0)[:, 0] for displacement in (moved, at_30))
    assert np.corrcoef(repeated[5:-5], smooth[5:-5])[0, 1] > 0.9
    assert (repeated > 0).mean() > 0.9
