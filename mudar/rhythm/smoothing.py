"""Smooths strokes by their own regularity: a dancer keeps time better than any one stroke can be measured.

Each stroke is moved half of the way to where its neighbours, by a straight line through them and the beats between,
say that it should be. A slow change of tempo is followed, a stroke that is meant to be off the beat keeps half of it,
one that is far off is left alone. Where it is known how the picture moves, `snap_and_smooth` and `smooth_taps` use
that too. Knows no curve and no file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.records import Array, Rhythm
from mudar.rhythm.peaks import snap_to_motion

Times = NDArray[np.float64]

REACH = 4.0  # typical intervals: the neighbours' weight falls to 0.6 there
SHARE = 0.5  # of the way: what is measured and what is expected are about as sure
LOOSE_S = 0.03  # a neighbour this far off the line weighs half
FAR_S = 0.08  # further away, a stroke is no error of measurement
MIN_TIMES = 6
NEIGHBOURS = 12  # on each side: further ones weigh next to nothing
ROUNDS = 2  # of weighing the neighbours by how far they are off


def smooth_times(times_s: Array) -> Array:
    """Moves (N,) ascending seconds towards an even rhythm, each by at most FAR_S / 2; fewer than six stay.

    >>> round(float(smooth_times(np.array([0.0, 0.5, 1.0, 1.54, 2.0, 2.5, 3.0]))[3]), 2)
    1.52
    """
    times = np.asarray(times_s, np.float64)
    if len(times) < MIN_TIMES:
        return np.asarray(times_s, np.float32)
    gaps = np.diff(times)
    half = float(np.median(gaps)) / 2  # strokes between the beats count as half a step
    steps = np.concatenate([[0.0], np.cumsum(np.maximum(np.round(gaps / half), 1.0) / 2)])
    expected = _expected(times, steps)
    moved = np.where(np.abs(expected - times) <= FAR_S, times + SHARE * (expected - times), times)
    return np.maximum.accumulate(moved).astype(np.float32)


def snap_and_smooth(times_s: Array, native_times_s: Times, displacement: Times, window_s: float) -> Array:
    """Smooths (N,) rough strokes, snaps them to the motion of the body there, and smooths them again.

    native_times_s, displacement: (K,) as for `snap_to_motion`; window_s: as far as the body may draw a stroke.
    """
    return smooth_times(snap_to_motion(smooth_times(times_s), native_times_s, displacement, window_s=window_s))


def smooth_taps(taps_s: Array, dance: Rhythm) -> Array:
    """Snaps (N,) tapped seconds, ascending, to the motion that `dance` has, or only smooths them where it has none."""
    if not len(dance.speed):
        return smooth_times(taps_s)
    clock = np.arange(len(dance.speed) + 1) / dance.speed_fps
    return snap_and_smooth(taps_s, clock, np.append(0.0, dance.total_speed / dance.speed_fps), 1 / dance.fps)


def _expected(times: Times, steps: Times) -> Times:
    """Returns the (N,) value of a local straight line at each stroke: weighted least squares in closed form.

    W = 2 NEIGHBOURS + 1 strokes around each.
    """
    index = np.arange(len(times))[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)  # (N, W)
    inside = (index >= 0) & (index < len(times))
    index = np.clip(index, 0, len(times) - 1)
    away, late = steps[index] - steps[:, None], times[index] - times[:, None]
    near = np.where(inside, np.exp(-((away / REACH) ** 2) / 2), 0.0)
    weight, value = near, np.zeros(len(times))
    for _ in range(ROUNDS):
        total, first, second = (np.sum(weight * away**k, axis=1) for k in range(3))
        mean, cross = np.sum(weight * late, axis=1), np.sum(weight * away * late, axis=1)
        bottom = np.maximum(total * second - first**2, 1e-12)
        value, slope = (second * mean - first * cross) / bottom, (total * cross - first * mean) / bottom
        off = late - value[:, None] - slope[:, None] * away
        weight = near / (1 + (off / LOOSE_S) ** 2)
    return np.asarray(times + value)
