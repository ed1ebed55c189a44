"""Aligns by the paper's three patterns of section 4.4 to the letter: shift, acceleration, and dynamic time warping.

1. `shift`: no speed changes, only where the clip begins. A window as long as the shorter sequence slides over the
   longer one; the crop whose number of rhythm points is most similar stays; the first points are laid on each other.
2. `acceleration`: the k-th interval of the dance is made the k-th of the music, I^v_k = I^a_k for every k. The paper
   sets no limit to the speeds this takes; bounds hold only when the caller gives them.
3. `paper_dtw`: d(i, j) = |P_i - P_j| between the i-th stroke and the j-th target, both in seconds from their own start,
   and c(i, j) = d(i, j) + min(c(i-1, j-1), c(i-1, j), c(i, j-1)), equations (22)-(23). Every point is matched, the ends
   to the ends; speeds are whatever comes out. dtw.py is what this grew into, and the default.

Pure: times in, knots out. Shapes: n strokes; m targets; K knots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats
from mudar.retarget.warp.time_map import max_speed_step

MIN_GAP_S = 1e-3  # knots closer than this are one


def crop_start(points_s: Floats, duration_s: float, window_s: float, count: int) -> float:
    """Finds the start in seconds of the window over `points_s` that holds the number of points most similar to `count`.

    The number only changes where a point enters or leaves, so those starts are all that need a look. Of equal ones
    the earliest wins.
    """
    last = max(0.0, duration_s - window_s)
    starts = np.concatenate([[0.0, last], points_s, points_s - window_s + 1e-6])
    starts = np.unique(starts[(starts >= 0) & (starts <= last)])
    inside = np.searchsorted(points_s, starts + window_s) - np.searchsorted(points_s, starts)
    return float(starts[np.argmin(np.abs(inside - count))])


def shift(strokes_s: Floats, dance_s: float, targets_s: Floats, music_s: float) -> tuple[Floats, Floats]:
    """Lays the first stroke of the crop on its first target: one knot, ((1,) music seconds, (1,) source seconds).

    Raises RetargetRefused when either side has no rhythm points.
    """
    if not len(strokes_s) or not len(targets_s):
        raise RetargetRefused(
            "Nothing to align: the dance has no strokes or the music has no beats.", hint="Take another clip or song."
        )
    stroke, target = float(strokes_s[0]), float(targets_s[0])
    if dance_s > music_s:
        stroke = _first_from(strokes_s, crop_start(strokes_s, dance_s, music_s, len(targets_s)))
    else:
        target = _first_from(targets_s, crop_start(targets_s, music_s, dance_s, len(strokes_s)))
    return np.array([target]), np.array([stroke])


def _first_from(points_s: Floats, start_s: float) -> float:
    """Returns the first point at or after `start_s`, or the last one if there is none."""
    return float(points_s[min(int(np.searchsorted(points_s, start_s)), len(points_s) - 1)])


def acceleration(strokes_s: Floats, targets_s: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """Lands stroke k on target k: knots ((K,) music seconds, (K,) source seconds), K = the shorter's count.

    Raises RetargetRefused when fewer than two pairs exist, or the intervals need speeds outside low..high or a change
    of speed that no smooth map inside them has; the hint then says which bounds would do.
    """
    count = min(len(strokes_s), len(targets_s))
    if count < 2:
        raise RetargetRefused(
            f"Acceleration needs two strokes and two targets; there are {len(strokes_s)} and {len(targets_s)}.",
            hint="Use method shift, or take another clip or song.",
        )
    music, source = np.asarray(targets_s[:count], float), np.asarray(strokes_s[:count], float)
    speeds = np.diff(source) / np.diff(music)
    step = float(np.abs(np.diff(speeds)).max(initial=0.0))
    if speeds.min() < low or speeds.max() > high or step > max_speed_step(low, high):
        k = int(np.argmax(np.abs(np.log(speeds))))
        slowest = min(low, _floor(speeds.min()))
        fastest = max(high, _ceil(speeds.max()), _ceil(slowest + 3 * step + 0.01))  # a smooth map needs room, too
        raise RetargetRefused(
            f"Interval {k} needs a speed of {speeds[k]:.2f}, and neighbours differ by up to {step:.2f}; "
            f"{low:g} to {high:g} does not hold that.",
            hint=f"min_speed={slowest}, max_speed={fastest} would do; or use method dtw, which may skip points.",
        )
    return music, source


def _floor(speed: float) -> float:
    return float(np.floor(speed * 100) / 100)


def _ceil(speed: float) -> float:
    return float(np.ceil(speed * 100) / 100)


def cumulative_cost(strokes_s: Floats, targets_s: Floats) -> Floats:
    """Computes c of (22), (n, m), with c = d at the very first pair."""
    distance = np.abs(np.asarray(strokes_s, float)[:, None] - np.asarray(targets_s, float)[None, :])
    cost = np.full((distance.shape[0] + 1, distance.shape[1] + 1), np.inf)
    cost[0, 0] = 0.0
    for i, row in enumerate(distance, start=1):
        for j, d in enumerate(row, start=1):
            cost[i, j] = d + min(cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1])
    return cost[1:, 1:]


def warping_path(strokes_s: Floats, targets_s: Floats) -> NDArray[np.int64]:
    """Traces the (P, 2) pairs (stroke, target) from (0, 0) to (n-1, m-1); of equal ways it takes the diagonal one."""
    cost = cumulative_cost(strokes_s, targets_s)
    i, j = cost.shape[0] - 1, cost.shape[1] - 1
    path = [(i, j)]
    while i or j:
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min((at for at in before if min(at) >= 0), key=lambda at: cost[at])
        path.append((i, j))
    return np.array(path[::-1], np.int64)


def paper_dtw(strokes_s: Floats, targets_s: Floats) -> tuple[Floats, Floats]:
    """Returns the knots ((K,) music seconds, (K,) source seconds) of the warping path.

    Where a stroke meets several targets, it lands in their middle, and the other way round: a map needs both sides
    ascending. Raises RetargetRefused when fewer than two knots come out.
    """
    strokes, targets = np.asarray(strokes_s, float), np.asarray(targets_s, float)
    if len(strokes) < 2 or len(targets) < 2:
        raise RetargetRefused(
            f"The paper's DTW needs two strokes and two targets; there are {len(strokes)} and {len(targets)}.",
            hint="Use method shift, or take another clip or song.",
        )
    path = warping_path(strokes, targets)
    straight = np.append(True, (np.diff(path, axis=0) > 0).all(axis=1))  # where both sides step on
    group = np.cumsum(straight) - 1
    counts = np.bincount(group)
    music = np.bincount(group, targets[path[:, 1]]) / counts
    source = np.bincount(group, strokes[path[:, 0]]) / counts
    distinct = np.append(True, (np.diff(music) > MIN_GAP_S) & (np.diff(source) > MIN_GAP_S))
    if distinct.sum() < 2:
        raise RetargetRefused("The warping path leaves a single landing.", hint="Use method dtw or shift.")
    return music[distinct], source[distinct]
