"""Pattern 3 of section 4.4, warping by dynamic programming, grown up: the best chain of landings.

The paper's (22)-(23) match every point and let speeds run wild. Here a chain of (stroke, target) pairs, both
ascending, may begin and end anywhere and skip weak points on both sides; it gains for what lands and pays for what
it skips, for speed and for its change; the speed between two pairs stays inside hard bounds, and its change inside
`step`, so that a C1 map inside the same bounds exists (timewarp.py). The state is (stroke, target, last edge), which
makes the cost of a speed change exact. Long inputs: a first-order pass over the strongest points finds the band that
the exact pass looks at.
Pure: points in, pairs out.

n = strokes, m = targets, E = edges (how many strokes and targets a step advances)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.retarget.points import Floats, Points

Ints = NDArray[np.int64]
BAND_ABOVE_NODES = 60_000  # n·m above which the exact pass is banded
COARSE_POINTS = 300  # at most, on each side of the first-order pass
BAND_TARGETS = 20  # half-width of the band, in targets


@dataclass(frozen=True)
class Prices:
    """What a chain gains and pays, in units of one strong landing."""

    skip_target: float = 0.35  # times the target's strength
    skip_stroke: float = 0.25  # times the stroke's strength
    speed: float = 1.0  # times ln(speed)^2 times seconds
    change: float = 4.0  # times (change of ln speed)^2


@dataclass(frozen=True)
class Limits:
    """Hard limits of a chain: speeds, their step, and how far one edge may reach."""

    low: float
    high: float
    step: float
    max_strokes: int = 3
    max_targets: int = 3

    @property
    def edges(self) -> list[tuple[int, int]]:
        """All (strokes, targets) advances."""
        return [(a, b) for a in range(1, self.max_strokes + 1) for b in range(1, self.max_targets + 1)]


@dataclass(frozen=True)
class Chain:
    """(K,) strokes, (K,) targets matched, ascending, and the total gain."""

    strokes: Ints
    targets: Ints
    gain: float


def landing_gain(strokes: Points, targets: Points) -> Floats:
    """(n, m) what each pair is worth: the geometric mean of the two strengths."""
    return np.sqrt(strokes.strengths[:, None] * targets.strengths[None, :])


def align(strokes: Points, targets: Points, limits: Limits, prices: Prices = Prices()) -> Chain:
    """The chain of the highest gain; empty when either side is."""
    n, m = len(strokes), len(targets)
    if not n or not m:
        return Chain(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0)
    whole = np.tile([0, m], (n, 1))
    if n * m <= BAND_ABOVE_NODES:
        return _forward(strokes, targets, limits, prices, whole, exact=True)
    few, few_targets = _strongest(strokes), _strongest(targets)
    some, some_targets = _chosen(strokes, few), _chosen(targets, few_targets)
    coarse = _forward(some, some_targets, limits, prices, np.tile([0, len(few_targets)], (len(few), 1)), exact=False)
    if len(coarse.strokes) < 2:
        return _forward(strokes, targets, limits, prices, whole, exact=True)
    band = _band(few[coarse.strokes], few_targets[coarse.targets], n, m)
    return _forward(strokes, targets, limits, prices, band, exact=True)


def _strongest(points: Points) -> Ints:
    """Indices of the strongest point of each run, at most COARSE_POINTS of them."""
    run = -(-len(points) // COARSE_POINTS)
    starts = np.arange(0, len(points), run)
    return np.array([s + int(np.argmax(points.strengths[s : s + run])) for s in starts], np.int64)


def _chosen(points: Points, which: Ints) -> Points:
    return Points(points.times_s[which], points.strengths[which])


def _band(i: Ints, j: Ints, n: int, m: int) -> Ints:
    """(n, 2) first and end target for each stroke: around the pairs (i, j), straight on beyond their ends."""
    slope = (j[-1] - j[0]) / (i[-1] - i[0])
    rows = np.arange(n)
    centre = np.interp(rows, i, j)
    centre = np.where(rows < i[0], j[0] - slope * (i[0] - rows), centre)
    centre = np.where(rows > i[-1], j[-1] + slope * (rows - i[-1]), centre)
    low = np.clip(np.floor(centre) - BAND_TARGETS, 0, m - 1)
    high = np.clip(np.ceil(centre) + BAND_TARGETS + 1, 1, m)
    return np.stack([low, np.maximum(high, low + 1)], axis=1).astype(np.int64)


def _forward(strokes: Points, targets: Points, limits: Limits, prices: Prices, band: Ints, *, exact: bool) -> Chain:
    """The dynamic programme. exact=False forgets the last speed: no price and no limit on its change.

    Rows wait in a ring as (gain (S, m), ln speed (S, m), speed (S, m)), S = 1 + E states: begun here, or by edge.
    """
    n, m = len(strokes), len(targets)
    edges = limits.edges
    worth = landing_gain(strokes, targets)
    skipped_strokes = np.concatenate([[0.0], np.cumsum(strokes.strengths)]) * prices.skip_stroke
    skipped_targets = np.concatenate([[0.0], np.cumsum(targets.strengths)]) * prices.skip_target
    came_from = np.full((n, len(edges) + 1, m), -1, np.int8)
    rows: list[tuple[Floats, Floats]] = []
    best, best_at = -np.inf, (0, 0, 0)
    for i in range(n):
        left, right = int(band[i, 0]), int(band[i, 1])
        gain = np.full((len(edges) + 1, m), -np.inf)
        speeds = np.full((len(edges) + 1, m), np.nan)
        gain[0, left:right] = worth[i, left:right]
        for e, (a, b) in enumerate(edges, start=1):
            start = max(left, b)
            if a > i or start >= right:
                continue
            dt = targets.times_s[start:right] - targets.times_s[start - b : right - b]
            speed = (strokes.times_s[i] - strokes.times_s[i - a]) / dt
            inside = (speed >= limits.low) & (speed <= limits.high)
            if not inside.any():
                continue
            log_speed = np.log(speed)
            pay = (skipped_strokes[i] - skipped_strokes[i - a + 1]) + prices.speed * log_speed**2 * dt
            pay = pay + skipped_targets[start:right] - skipped_targets[start - b + 1 : right - b + 1]
            before, before_speed = (x[:, start - b : right - b] for x in rows[i - a])
            if exact:
                jump = np.abs(before_speed[1:] - speed)
                cost = prices.change * (np.log(before_speed[1:]) - log_speed) ** 2
                cost[~(jump <= limits.step)] = np.inf
                options = np.concatenate([before[:1], before[1:] - cost])
            else:
                options = before
            choice = np.argmax(options, axis=0)
            value = options[choice, np.arange(right - start)] + worth[i, start:right] - pay
            value[~inside] = -np.inf
            gain[e, start:right] = value
            speeds[e, start:right] = speed
            came_from[i, e, start:right] = choice
        rows.append((gain, speeds))
        if i >= limits.max_strokes:
            rows[i - limits.max_strokes] = (gain[:0], speeds[:0])  # out of reach: let it go
        top = int(np.argmax(gain))
        if gain.flat[top] > best + 1e-12:
            best, best_at = float(gain.flat[top]), (i, top // m, top % m)
    return _trace(came_from, edges, best_at, best)


def _trace(came_from: NDArray[np.int8], edges: list[tuple[int, int]], end: tuple[int, int, int], gain: float) -> Chain:
    i, state, j = end
    pairs = [(i, j)]
    while state > 0:
        previous = int(came_from[i, state, j])
        a, b = edges[state - 1]
        i, j, state = i - a, j - b, previous
        pairs.append((i, j))
    chain = np.array(pairs[::-1], np.int64)
    return Chain(chain[:, 0], chain[:, 1], gain)
