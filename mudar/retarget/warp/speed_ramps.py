"""Accents landings by speed ramps: the picture quickens into a landing and is slow right after it.

A piecewise linear speed is added to a map's own, with no area under it between two knots, so that no knot moves:

    knot a          a+r     a+2r          b-2r    b-r        knot b
    (B - A)/2       -A      c - h         c + h   +B         (B' - A')/2

A is the trough after a landing, B the height before it, each as deep as the bounds leave room there, c what brings
the area back to nothing, and h makes the picture gain speed all the way to the next landing, so that what the body
does between two beats looks less like an impact. Cubic + linear speed is a cubic map again, so four more nodes an
interval hold it exactly. Where the map already runs near a bound, only the other side of the landing is moved: at
1.4 of at most 1.5 the trough alone still makes the impact. Knows knots and speeds only.

K = knots, I = K - 1 intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.retarget.events import Floats
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap

ACCENT_DEPTH = 1.5  # accent 1 changes the speed by at most this share of itself, to either side
ACCENT_REACH_S = 0.04  # from the height before a landing to the landing, and from there to the trough
SLOWEST_SHARE = 0.2  # of the plain speed that is left at least where there are no bounds
RAMP = 0.5  # h, as a share of the smaller of A and B
USUAL_HALF_S = 0.25  # half the distance of two landings
PASSES = 30


@dataclass(frozen=True)
class _Room:
    """Says by how much the speed may rise or fall: in the first 2r of each interval, in its last 2r, anywhere; (I,)."""

    rise_start: Floats
    fall_start: Floats
    rise_end: Floats
    fall_end: Floats
    rise: Floats
    fall: Floats


def apply_speed_ramps(plain: TimeMap, which: NDArray[np.bool_], limits: SpeedLimits) -> TimeMap:
    """Accents the landings `which` (K,) of `plain` as far as the bounds leave room; no knot moves."""
    knots_s = plain.output_s
    length_s = np.diff(knots_s)
    reach_s = np.minimum(ACCENT_REACH_S, length_s / 8)
    room = _rooms(plain, reach_s, limits.bounds)
    trough, height = _depths(plain, limits.accent * ACCENT_DEPTH, which, room)
    for _ in range(PASSES):
        at_knot = _at_knots(trough, height)
        level = _level(trough, height, at_knot, reach_s, length_s)
        allowed = np.where(level > 0, room.rise, room.fall)
        over = np.abs(level) > allowed + 1e-12
        if not over.any():
            break
        share = np.where(over, allowed / np.maximum(np.abs(level), 1e-12), 1.0)
        keep = np.minimum(np.append(share, 1.0), np.insert(share, 0, 1.0))
        trough, height = trough * keep, height * keep
    else:
        at_knot, level = np.zeros_like(knots_s), np.zeros_like(length_s)
        trough, height = np.zeros_like(knots_s), np.zeros_like(knots_s)
    ramp = RAMP * np.minimum(trough[:-1], height[1:])
    ramp = np.clip(np.minimum(ramp, np.minimum(room.rise - level, room.fall + level)), 0.0, None)
    return _with_nodes(
        plain, at_knot, np.stack([-trough[:-1], level - ramp, level + ramp, height[1:]], axis=1), reach_s
    )


def speed_pulse(speed: Floats, limits: SpeedLimits) -> tuple[Floats, Floats]:
    """Returns what an accent adds around landings at these plain speeds (J,), were the neighbours like them.

    (7,) seconds from the landing and (J, 7) speeds there, the last ones also further away: near enough to foretell how
    it looks.
    """
    (low, high), r = limits.bounds, ACCENT_REACH_S
    depth = limits.accent * ACCENT_DEPTH * speed
    trough = np.clip(np.minimum(depth, speed - low), 0.0, None)
    height = np.clip(np.minimum(depth, high - speed), 0.0, None)
    level = 1.5 * r * (trough - height) / (2 * USUAL_HALF_S - 3 * r)
    ramp = RAMP * np.minimum(trough, height)
    at_s = np.array([-USUAL_HALF_S, -2 * r, -r, 0.0, r, 2 * r, USUAL_HALF_S])
    added = [level, level + ramp, height, (height - trough) / 2, -trough, level - ramp, level]
    return at_s, np.stack(added, axis=1)


def _depths(plain: TimeMap, depth: float, which: NDArray[np.bool_], room: _Room) -> tuple[Floats, Floats]:
    """Returns (K,) troughs and (K,) heights: the full depth, less where an interval beside the knot has less room.

    The first knot has no height and the last no trough, and the speed at both stays, as the map goes straight on there.
    """
    full = np.where(which, depth * plain.slopes, 0.0)
    trough = np.minimum(full, np.append(room.fall_start, 0.0))
    height = np.minimum(full, np.insert(room.rise_end, 0, 0.0))
    inner = slice(1, -1)
    trough[inner] = np.minimum(trough[inner], 2 * room.fall_end[:-1])
    height[inner] = np.minimum(height[inner], 2 * room.rise_start[1:])
    return trough, height


def _at_knots(trough: Floats, height: Floats) -> Floats:
    """Returns (K,) what is added at the knots themselves: halfway down, so that the fall is steepest there."""
    middle = (height - trough) / 2
    middle[0] = middle[-1] = 0.0
    return np.asarray(middle)


def _level(trough: Floats, height: Floats, at_knot: Floats, reach_s: Floats, length_s: Floats) -> Floats:
    """Returns (I,) the c that leaves no area under what is added."""
    area = trough[:-1] - height[1:] - (at_knot[:-1] + at_knot[1:]) / 2
    return np.asarray(reach_s * area / (length_s - 3 * reach_s))


def _rooms(plain: TimeMap, reach_s: Floats, bounds: tuple[float, float]) -> _Room:
    start, end = plain.output_s[:-1], plain.output_s[1:]
    ranges = [_range(plain, *ends) for ends in ((start, start + 2 * reach_s), (end - 2 * reach_s, end), (start, end))]
    sides = []
    for slowest, fastest in ranges:
        rise = np.maximum(np.minimum(bounds[1] - fastest, fastest), 0.0)
        fall = np.maximum(np.minimum(slowest - bounds[0], (1 - SLOWEST_SHARE) * slowest), 0.0)
        sides += [rise, fall]
    return _Room(*sides)


def _range(plain: TimeMap, start_s: Floats, end_s: Floats) -> tuple[Floats, Floats]:
    """Returns the (I,) slowest and (I,) fastest plain speed between these times, each pair inside one interval.

    The speed there is a parabola: its ends, and its vertex where that lies between them.
    """
    middle_s = (start_s + end_s) / 2
    # The last moment of an interval is the first of the next: the same speed, as the map is C1.
    first, middle, last = (plain.speed(at) for at in (start_s, middle_s, end_s))
    bend, tilt = 2 * (first - 2 * middle + last), -3 * first + 4 * middle - last
    with np.errstate(divide="ignore", invalid="ignore"):
        at = -tilt / (2 * bend)
        vertex = first + tilt * at / 2
    inside = np.isfinite(at) & (at > 0) & (at < 1)
    vertex = np.where(inside, vertex, first)
    stack = np.stack([first, last, vertex])
    return stack.min(axis=0), stack.max(axis=0)


def _with_nodes(plain: TimeMap, at_knot: Floats, between: Floats, reach_s: Floats) -> TimeMap:
    """Adds speed to the map: (K,) at the knots, (I, 4) at the four more nodes of each interval."""
    start, end = plain.output_s[:-1], plain.output_s[1:]
    times = np.stack([start, start + reach_s, start + 2 * reach_s, end - 2 * reach_s, end - reach_s], axis=1)
    speeds = np.column_stack([at_knot[:-1], between])  # (I, 5)
    steps = np.diff(times, axis=1)
    gained = np.concatenate(
        [np.zeros((len(times), 1)), np.cumsum(steps * (speeds[:, 1:] + speeds[:, :-1]) / 2, axis=1)], axis=1
    )
    last = slice(-1, None)
    output = np.append(times.ravel(), plain.output_s[last])
    nodes = np.append((plain.source_s(times) + gained).ravel(), plain.nodes_s[last])
    slopes = np.append((plain.speed(times) + speeds).ravel(), plain.slopes[last])
    return TimeMap(output, nodes, slopes)
