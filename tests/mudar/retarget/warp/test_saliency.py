"""Foretold impacts: a moment where the source brakes is one, and an accent makes one of any moving moment."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.retarget.warp.saliency import AT, HALF, RATE_HZ, SMOOTH_S, MotionProfile
from mudar.retarget.warp.speed_ramps import apply_speed_ramps
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, time_map

BOUNDS = (0.67, 1.5)
FPS = 30.0
PLAIN = TimeMap(np.zeros(1), np.zeros(1), np.ones(1))


def profile_of(speed: np.ndarray, fps: float = FPS) -> MotionProfile:
    """A picture that moves in one direction, of which no strokes are known."""
    return MotionProfile(speed[:, None], fps, np.zeros(0))


def beating(duration_s: float = 12.0, period_s: float = 0.6) -> MotionProfile:
    """A picture whose speed swings evenly: it brakes hardest a quarter of a period after it is fastest, at 0, 0.6.."""
    clock = (np.arange(round(duration_s * FPS)) + 0.5) / FPS
    return profile_of(0.1 * (1 + 0.8 * np.cos(2 * np.pi * (clock / period_s + 0.25))))


def saliency(profile: MotionProfile, source_s: np.ndarray, accent: float = 0.0) -> np.ndarray:
    """(C,) how surely each second looks like an impact, shown at second 6 of the plain map."""
    at = np.array([6.0])
    usual = profile.mean_braking(PLAIN, 0.0, 12.0, at)
    return profile.impact_saliency(source_s[None], np.ones(1), usual, SpeedLimits(BOUNDS, accent))[0]


def test_the_moment_of_braking_looks_like_an_impact() -> None:
    offsets = np.arange(-0.28, 0.29, 0.02)
    around = saliency(beating(), 6.0 + offsets)
    assert abs(offsets[np.argmax(around)]) < 0.021
    assert around.max() > 0.6
    assert around[np.abs(offsets) > 0.2].max() < 0.05


def test_an_accent_makes_an_impact_where_the_picture_moves_and_none_where_it_does_not() -> None:
    speed = np.full(360, 0.1)
    speed[:150] = 0.0
    picture = profile_of(speed)
    moving, still = np.array([9.0]), np.array([2.0])
    assert saliency(picture, moving, 0.0)[0] < 0.05
    assert saliency(picture, moving, 0.5)[0] > 0.9
    assert saliency(picture, still, 0.5)[0] < 0.05


def test_the_foretold_braking_is_that_of_the_accented_map() -> None:
    """The same by another way: the whole output's speed, smoothed and differentiated."""
    beats = np.arange(0.5, 11.5, 0.5)
    plain = time_map(beats, beats * 0.95 + 0.2, BOUNDS)
    warp, picture = apply_speed_ramps(plain, np.ones(len(beats), bool), SpeedLimits(BOUNDS, 0.5)), beating()
    clock = np.arange(0.0, 11.0, 1 / RATE_HZ)
    shown = np.diff(picture.path(warp.source_s(clock))) * RATE_HZ
    reach = np.arange(-20, 21) / RATE_HZ
    bell = np.exp(-((reach / SMOOTH_S) ** 2) / 2)
    braking = -np.gradient(np.convolve(shown, bell / bell.sum(), mode="same")) * RATE_HZ
    inner = beats[3:-3]
    hardest = np.array([braking[np.abs(clock[:-1] - beat) <= AT.max()].max() for beat in inner])
    here = np.maximum([np.interp(beat, clock[:-1], braking) for beat in inner], 0.0)
    usual = np.full(len(inner), hardest.mean() / 2)
    expected = (here / usual) ** 2 / ((here / usual) ** 2 + HALF**2) * (here / hardest) ** 2
    foretold = picture.impact_saliency(
        plain.source_s(inner)[:, None], plain.speed(inner), usual, SpeedLimits(BOUNDS, 0.5)
    )[:, 0]
    assert np.ptp(expected) > 0.4
    assert np.abs(foretold - expected).mean() < 0.08


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_the_rate_of_the_measured_speed_changes_little(fps: float) -> None:
    clock = (np.arange(round(12 * fps)) + 0.5) / fps
    picture = profile_of(0.1 * (1 + 0.8 * np.cos(2 * np.pi * (clock / 0.6 + 0.25))), fps)
    np.testing.assert_allclose(
        saliency(picture, np.array([6.0, 6.1])), saliency(beating(), np.array([6.0, 6.1])), atol=0.08
    )
