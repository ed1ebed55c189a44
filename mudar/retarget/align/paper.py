"""Pattern 3 of section 4.4 to the letter: dynamic time warping of two point sequences, equations (22)-(23).

d(i, j) = |P_i - P_j| between the i-th stroke and the j-th target, both in seconds from their own start, and
c(i, j) = d(i, j) + min(c(i-1, j-1), c(i-1, j), c(i, j-1)). Every point is matched, the ends to the ends; speeds are
whatever comes out, as with the paper's acceleration. dtw.py is what this grew into, and the default.
Pure: times in, pairs and knots out.

n = strokes, m = targets
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats

LEAST_GAP_S = 1e-3  # knots closer than this are one


def cumulative_cost(strokes_s: Floats, targets_s: Floats) -> Floats:
    """(n, m) c of (22), with c = d at the very first pair."""
    distance = np.abs(np.asarray(strokes_s, float)[:, None] - np.asarray(targets_s, float)[None, :])
    cost = np.full((distance.shape[0] + 1, distance.shape[1] + 1), np.inf)
    cost[0, 0] = 0.0
    for i, row in enumerate(distance, start=1):
        for j, d in enumerate(row, start=1):
            cost[i, j] = d + min(cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1])
    return cost[1:, 1:]


def warping_path(strokes_s: Floats, targets_s: Floats) -> NDArray[np.int64]:
    """(P, 2) pairs (stroke, target) from (0, 0) to (n-1, m-1) along which c grew; of equal ways the diagonal one."""
    cost = cumulative_cost(strokes_s, targets_s)
    i, j = cost.shape[0] - 1, cost.shape[1] - 1
    path = [(i, j)]
    while i or j:
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min((at for at in before if min(at) >= 0), key=lambda at: cost[at])
        path.append((i, j))
    return np.array(path[::-1], np.int64)


def paper_dtw(strokes_s: Floats, targets_s: Floats) -> tuple[Floats, Floats]:
    """Knots ((K,) music seconds, (K,) source seconds) of the warping path.

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
    apart = np.append(True, (np.diff(music) > LEAST_GAP_S) & (np.diff(source) > LEAST_GAP_S))
    if apart.sum() < 2:
        raise RetargetRefused("The warping path leaves a single landing.", hint="Use method dtw or shift.")
    return music[apart], source[apart]
