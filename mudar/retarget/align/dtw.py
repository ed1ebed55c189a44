"""Aligns strokes with targets by dynamic programming: the best chain of landings.

The paper's (22)-(23) match every point and let speeds run wild. Here a chain of (stroke, target) pairs, both
ascending, may begin and end anywhere and skip weak points on both sides; it gains for what lands and pays for what
it skips, for speed and for its change; the speed between two pairs stays inside hard bounds, and its change inside
`step`, so that a C1 map inside the same bounds exists (time_map.py). The state is (stroke, target, last edge), which
makes the cost of a speed change exact. Long inputs: a first-order pass over the strongest points finds the band that
the exact pass looks at.
Pure: points in, pairs out.

n = strokes, m = targets, E = edges (how many strokes and targets a step advances)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mudar.retarget.events import Events, Floats
from mudar.rhythm.metrics import distance_s

Ints = NDArray[np.int64]
BAND_ABOVE_NODES = 60_000  # n·m above which the exact pass is banded
COARSE_POINTS = 300  # at most, on each side of the first-order pass
BAR_WITHIN_S = 0.08  # of a bar's first beat: the stroke or target that is its first
BAND_TARGETS = 20  # half-width of the band, in targets


@dataclass(frozen=True)
class Costs:
    """Says what a chain gains and pays, in units of one strong landing."""

    skip_target: float = 0.35  # times the target's strength
    skip_stroke: float = 0.25  # times the stroke's strength
    speed: float = 1.0  # times ln(speed)^2 times seconds
    change: float = 4.0  # times (change of ln speed)^2
    bar: float = 0.3  # more gain, as a share, for a bar's first stroke that lands on a bar's first beat


@dataclass(frozen=True)
class Limits:
    """Bounds a chain: its speeds, their step, and how far one edge may reach."""

    low: float
    high: float
    step: float
    max_strokes: int = 3
    max_targets: int = 3

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Lists all (strokes, targets) advances."""
        return [(a, b) for a in range(1, self.max_strokes + 1) for b in range(1, self.max_targets + 1)]


@dataclass(frozen=True)
class AlignmentPath:
    """Holds the matched indices, (K,) strokes and (K,) targets, ascending, and the total gain."""

    strokes: Ints
    targets: Ints
    gain: float


@dataclass(frozen=True)
class Downbeats:
    """Says when bars begin, in seconds of the dance and of the music; empty where that is not known."""

    dance_s: Floats
    music_s: Floats


UNKNOWN = Downbeats(np.zeros(0), np.zeros(0))


def landing_gain(strokes: Events, targets: Events, downbeats: Downbeats = UNKNOWN, bonus: float = 0.0) -> Floats:
    """Returns what each pair (n, m) is worth: the geometric mean of the strengths, more where both begin a bar."""
    worth = np.sqrt(strokes.strengths[:, None] * targets.strengths[None, :])
    of_dance = distance_s(strokes.times_s, downbeats.dance_s) <= BAR_WITHIN_S
    of_music = distance_s(targets.times_s, downbeats.music_s) <= BAR_WITHIN_S
    return worth * (1 + bonus * (of_dance[:, None] & of_music[None, :]))


def align(
    strokes: Events, targets: Events, limits: Limits, costs: Costs = Costs(), downbeats: Downbeats = UNKNOWN
) -> AlignmentPath:
    """Finds the chain of the highest gain; it is empty when either side is."""
    n, m = len(strokes), len(targets)
    if not n or not m:
        return AlignmentPath(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0)
    every = _Problem(strokes, targets, limits, costs, downbeats)
    unbanded = np.tile([0, m], (n, 1))
    if n * m <= BAND_ABOVE_NODES:
        return _forward(every, unbanded, exact=True)
    i, j = _strongest(strokes), _strongest(targets)
    some = replace(every, strokes=_select(strokes, i), targets=_select(targets, j))
    coarse = _forward(some, np.tile([0, len(j)], (len(i), 1)), exact=False)
    if len(coarse.strokes) < 2:
        return _forward(every, unbanded, exact=True)
    return _forward(every, _band(i[coarse.strokes], j[coarse.targets], n, m), exact=True)


@dataclass(frozen=True)
class _Problem:
    """Everything that the dynamic programme is given."""

    strokes: Events
    targets: Events
    limits: Limits
    costs: Costs
    downbeats: Downbeats

    def target_steps(self) -> tuple[Floats, Floats]:
        """Returns (E, m) seconds back to the target an edge comes from, NaN for none, and what those between cost."""
        seconds, skipped = _steps(self.targets, [b for _, b in self.limits.edges])
        return seconds.T, skipped.T * self.costs.skip_target

    def stroke_steps(self) -> tuple[Floats, Floats]:
        """Returns the same for the strokes, (n, E)."""
        seconds, skipped = _steps(self.strokes, [a for a, _ in self.limits.edges])
        return seconds, skipped * self.costs.skip_stroke


def _strongest(points: Events) -> Ints:
    """Returns the indices of the strongest point of each run, at most COARSE_POINTS of them."""
    run = -(-len(points) // COARSE_POINTS)
    starts = np.arange(0, len(points), run)
    return np.array([s + int(np.argmax(points.strengths[s : s + run])) for s in starts], np.int64)


def _select(points: Events, which: Ints) -> Events:
    return Events(points.times_s[which], points.strengths[which])


def _band(i: Ints, j: Ints, n: int, m: int) -> Ints:
    """Returns (n, 2), first and end target for each stroke: around the pairs (i, j), straight on beyond their ends."""
    slope = (j[-1] - j[0]) / (i[-1] - i[0])
    rows = np.arange(n)
    centre = np.interp(rows, i, j)
    centre = np.where(rows < i[0], j[0] - slope * (i[0] - rows), centre)
    centre = np.where(rows > i[-1], j[-1] + slope * (rows - i[-1]), centre)
    low = np.clip(np.floor(centre) - BAND_TARGETS, 0, m - 1)
    high = np.clip(np.ceil(centre) + BAND_TARGETS + 1, 1, m)
    return np.stack([low, np.maximum(high, low + 1)], axis=1).astype(np.int64)


def _forward(problem: _Problem, band: Ints, *, exact: bool) -> AlignmentPath:
    """Runs the dynamic programme, a row of strokes at a time, all edges at once.

    exact=False forgets the last speed: no price and no limit on its change. Rows wait in a ring of (S, m) gains and
    the speeds (and their ln) that led there; S = 1 + E states: begun here, or came by edge. W = the band's width.
    """
    limits, costs, edges = problem.limits, problem.costs, problem.limits.edges
    n, m, pad, ring = len(problem.strokes), len(problem.targets), limits.max_targets, limits.max_strokes + 1
    worth = landing_gain(problem.strokes, problem.targets, problem.downbeats, costs.bar)
    (target_s, target_pay), (stroke_s, stroke_pay) = problem.target_steps(), problem.stroke_steps()
    came_from = np.full((n, len(edges) + 1, m), -1, np.int8)
    gains = np.full((ring, len(edges) + 1, m + pad), -np.inf)
    speeds, logs = np.ones_like(gains), np.zeros_like(gains)
    best, best_at = -np.inf, (0, 0, 0)
    for i, (left, right) in enumerate(band.tolist()):
        dt = target_s[:, left:right]
        speed = stroke_s[i][:, None] / dt  # (E, W)
        inside = (speed >= limits.low) & (speed <= limits.high)  # not where either is no number
        log_speed = np.log(np.where(inside, speed, 1.0))
        pay = stroke_pay[i][:, None] + target_pay[:, left:right] + costs.speed * log_speed**2 * dt
        sources = [((i - a) % ring, slice(left - b + pad, right - b + pad)) for a, b in edges]
        before = np.stack([gains[row, :, columns] for row, columns in sources])  # (E, S, W)
        if exact:
            jump = np.stack([speeds[row, 1:, columns] for row, columns in sources]) - speed[:, None]
            change = np.stack([logs[row, 1:, columns] for row, columns in sources]) - log_speed[:, None]
            before[:, 1:] -= np.where(np.abs(jump) <= limits.step, costs.change * change**2, np.inf)
        came_from[i, 1:, left:right] = choice = before.argmax(axis=1)  # (E, W)
        value = np.take_along_axis(before, choice[:, None], axis=1)[:, 0] + worth[i, left:right] - pay
        here, columns = i % ring, slice(left + pad, right + pad)
        gains[here] = -np.inf
        gains[here, 0, columns], gains[here, 1:, columns] = worth[i, left:right], np.where(inside, value, -np.inf)
        speeds[here, 1:, columns], logs[here, 1:, columns] = np.where(inside, speed, 1.0), log_speed
        row = gains[here, :, columns]
        top = int(np.argmax(row))
        if row.flat[top] > best + 1e-12:
            best, best_at = float(row.flat[top]), (i, top // (right - left), left + top % (right - left))
    return _trace(came_from, edges, best_at, best)


def _steps(points: Events, backs: list[int]) -> tuple[Floats, Floats]:
    """Returns (N, E) seconds to the point `back` positions before, NaN for none, and the strengths skipped between."""
    skipped = np.concatenate([[0.0], np.cumsum(points.strengths)])
    seconds, between = np.full((len(points), len(backs)), np.nan), np.zeros((len(points), len(backs)))
    for e, back in enumerate(backs):
        seconds[back:, e] = points.times_s[back:] - points.times_s[: max(0, len(points) - back)]
        here = np.arange(back, len(points))
        between[back:, e] = skipped[here] - skipped[here - back + 1]
    return seconds, between


def _trace(
    came_from: NDArray[np.int8], edges: list[tuple[int, int]], end: tuple[int, int, int], gain: float
) -> AlignmentPath:
    """Follows the choices back from the end (stroke, state, target) of the best chain."""
    i, state, j = end
    pairs = [(i, j)]
    while state > 0:
        previous = int(came_from[i, state, j])
        a, b = edges[state - 1]
        i, j, state = i - a, j - b, previous
        pairs.append((i, j))
    chain = np.array(pairs[::-1], np.int64)
    return AlignmentPath(chain[:, 0], chain[:, 1], gain)
