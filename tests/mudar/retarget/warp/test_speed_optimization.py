"""The optimized map: its gradient is that of its cost, it brakes on the beats, and stays where it may."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.retarget.events import Floats
from mudar.retarget.warp import speed_optimization
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.speed_optimization import PIECE_S, OptimizedSpeed, optimize_speed
from mudar.retarget.warp.speed_ramps import apply_speed_ramps
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap

BOUNDS = (0.67, 1.5)
PLAIN = TimeMap(np.zeros(1), np.zeros(1), np.ones(1))
FPS = 30.0
NO_STROKES = np.zeros(0)


def dancing(duration_s: float, seed: int = 0, directions: int = 4, strokes: Floats = NO_STROKES) -> MotionProfile:
    """A picture that moves unevenly in all directions, as a body does: half a second up and half a second down."""
    rng = np.random.default_rng(seed)
    samples = round(duration_s * FPS)
    rough = rng.gamma(0.3, 0.1, (samples + 40, directions))
    smooth = np.stack([np.convolve(column, np.hanning(11), "valid") for column in rough.T], axis=1)
    return MotionProfile(smooth[:samples], FPS, strokes)


def pulsed(beats: Floats, accent: float) -> TimeMap:
    """A plain map of speed 1 with the usual accents at the beats."""
    finer = PLAIN.with_nodes(beats)
    return apply_speed_ramps(finer, np.isin(finer.output_s, beats), SpeedLimits(BOUNDS, accent))


def optimized(profile: MotionProfile, beats: Floats, end_s: float, accent: float = 0.5) -> OptimizedSpeed:
    """The same with its speed optimized."""
    return optimize_speed(pulsed(beats, accent), PLAIN, (0.0, end_s), beats, profile, SpeedLimits(BOUNDS, accent))


def braking(picture: MotionProfile, warp: TimeMap, at_s: Floats) -> Floats:
    """How hard the picture of this map brakes, by another way: differences of its smoothed ways, all directions."""
    path, _, fps = picture.directed
    around = np.arange(-0.16, 0.161, 0.004)
    bell = np.exp(-((around / 0.04) ** 2) / 2)
    bell /= bell.sum()

    def smoothed(moments: Floats) -> Floats:
        shown = warp.source_s(moments[:, None] + around) * fps
        clock = np.arange(path.shape[1])
        return np.stack([np.interp(shown, clock, way) @ bell for way in path])

    step = 1 / 60
    fall = -(smoothed(at_s + step) - 2 * smoothed(at_s) + smoothed(at_s - step)) / step**2
    return np.maximum(fall, 0.0).sum(axis=0)


def hits(picture: MotionProfile, warp: TimeMap, beats: Floats) -> float:
    """Share of the beats at which the picture brakes hardest within 30 ms, of 180 ms around."""
    offsets = np.arange(-0.18, 0.181, 0.015)
    falls = braking(picture, warp, (beats[:, None] + offsets).ravel()).reshape(len(beats), -1)
    return float((np.abs(offsets[falls.argmax(axis=1)]) <= 0.03 + 1e-9).mean())


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(30, 300), st.sampled_from([1, 4]), st.booleans())
def test_the_gradient_is_that_of_the_cost(seed: int, intervals: int, directions: int, strokes: bool) -> None:
    rng = np.random.default_rng(seed)
    end_s = 3.0 + intervals * speed_optimization.NODE_S
    own = np.cumsum(rng.uniform(0.2, 0.6, 20)) if strokes else np.zeros(0)
    beats = np.arange(3.1, end_s - 0.1, 0.37)
    piece = speed_optimization._Piece(3.0, intervals, 1.0, 1.5, beats, dancing(14.0, seed, directions, own))
    speeds = rng.uniform(0.7, 1.45, intervals + 1)
    piece.best(speeds, speeds, speeds)  # learns what is usual
    _, gradient = piece._cost(speeds)
    for way in [np.eye(intervals + 1)[k] for k in (0, 1, intervals - 1, intervals)] + [rng.normal(size=intervals + 1)]:
        step = 1e-7 * way
        slope = (piece._cost(speeds + step)[0] - piece._cost(speeds - step)[0]) / 2e-7
        assert float(gradient @ way) == pytest.approx(slope, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize(("end_s", "period_s"), [(9.0, 0.5), (3.2 * PIECE_S, 0.47)])
def test_the_picture_brakes_on_the_beats_where_an_accent_alone_does_not(end_s: float, period_s: float) -> None:
    picture, beats = dancing(end_s + 2), np.arange(0.4, end_s - 0.3, period_s)
    before = pulsed(beats, 0.5)
    done = optimized(picture, beats, end_s)
    assert hits(picture, done.warp, beats) > 0.85
    assert hits(picture, done.warp, beats) > hits(picture, before, beats) + 0.15
    thirds = np.array_split(beats, 3)
    assert min(hits(picture, done.warp, third) for third in thirds) > 0.7  # the last piece as well as the first
    surely = done.saliency >= np.nanmedian(done.saliency)
    assert hits(picture, done.warp, beats[surely]) > 0.95  # what it says of itself is so


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.05, 1.0), st.floats(1.0, 30.0), st.floats(0.25, 2.0))
def test_it_stays_inside_the_bounds_and_where_it_was(seed: int, accent: float, end_s: float, period_s: float) -> None:
    beats = np.arange(0.3, end_s, period_s)
    done = optimized(dancing(end_s + 1, seed), beats, end_s, accent)
    low, high = done.warp.speed_range()
    depth = accent * speed_optimization.ACCENT_DEPTH
    assert max(BOUNDS[0], 1 - depth) - 1e-9 <= low <= high <= min(BOUNDS[1], 1 + depth) + 1e-9
    assert done.warp.source_s(0.0) == pytest.approx(0.0, abs=1e-9)
    assert done.warp.source_s(end_s) == pytest.approx(end_s, abs=0.3)
    known = ~np.isnan(done.saliency)
    assert ((done.saliency[known] >= 0) & (done.saliency[known] <= 1)).all()


def test_strokes_of_the_network_keep_their_beats() -> None:
    beats = np.arange(0.5, 10.0, 0.5)
    strokes = beats + np.where(np.arange(len(beats)) % 2, 0.03, -0.03)
    without, with_strokes = (
        np.abs(optimized(dancing(12.0, strokes=own), beats, 10.5).warp.source_s(beats) - strokes).mean()
        for own in (NO_STROKES, strokes)
    )
    assert with_strokes < 0.7 * without


def test_a_picture_that_stands_still_keeps_its_map() -> None:
    done = optimized(MotionProfile(np.zeros((300, 4)), FPS, NO_STROKES), np.arange(0.5, 9.0, 0.5), 9.5)
    assert np.isfinite(done.warp.source_s(np.linspace(0, 9.5, 100))).all()
    assert np.nanmax(done.saliency) < 0.1


def test_without_beats_nothing_is_chosen() -> None:
    done = optimize_speed(PLAIN, PLAIN, (0.0, 5.0), np.zeros(0), dancing(6.0), SpeedLimits(BOUNDS, 0.5))
    np.testing.assert_allclose(done.warp.source_s(np.linspace(0, 5, 30)), np.linspace(0, 5, 30), atol=1e-9)
    assert not len(done.saliency)
