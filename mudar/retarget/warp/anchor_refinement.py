"""Landings settle where the picture will be seen to strike.

The chain of dtw.py says which part of the dance goes with which part of the music. A network that is not sure of its
strokes knows that much, and not the moment. So each beat, also one that no stroke was found for, looks at the moments
of the source up to half a beat (300 ms at least) to either side of the one it has, and all beats choose together: what
is gained is how surely the moment would be seen as a blow (blow.py), and a little for a stroke of the network; what is
paid is speed and its change; the bounds are hard. The state is (this beat's candidate, the last one's), which makes the
change of speed exact. What happens between the beats is polish.py's. Pure: points in, knots out.

J = beats, C = candidates of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.time_map import TimeMap, max_speed_step, time_map
from mudar.rhythm.metrics import distance_s

REACH_S, FURTHEST_S = 0.3, 0.6  # half a beat, but at least and at most this far
STEP_S = 0.03
ROUNDS = 2  # the speed at a beat, which a blow depends on, is that of the round before
STROKE = 0.2  # gained where a stroke of the network is
STROKE_WIDTH_S = 0.02
SPEED = 0.5  # paid, times ln(speed)^2 times seconds
CHANGE = 2.0  # paid, times (change of ln speed)^2
ROOM = 0.04  # between mean speeds and the bounds: room for an accent
SEEN = 0.4  # from here on a blow counts as a landing
FEWEST = 3


@dataclass(frozen=True)
class RefinedAnchors:
    """(J,) music seconds, (J,) source seconds, (J,) how surely each is seen as a blow, 0..1, and the map."""

    music_s: Floats
    source_s: Floats
    blows: Floats
    warp: TimeMap


def refine_anchors(
    warp: TimeMap,
    beats_s: Floats,
    picture: MotionProfile,
    strokes_s: Floats,
    accent: float,
    bounds: tuple[float, float],
) -> RefinedAnchors | None:
    """`warp` moved at these beats ((J,) ascending music seconds); None where there are too few or no way."""
    if len(beats_s) < FEWEST:
        return None
    reach_s = float(np.clip(np.median(np.diff(beats_s)) / 2, REACH_S, FURTHEST_S))
    offsets = np.arange(-round(reach_s / STEP_S), round(reach_s / STEP_S) + 1) * STEP_S
    found: RefinedAnchors | None = None
    for _ in range(ROUNDS):
        source = warp.source_s(beats_s)[:, None] + offsets
        usual = picture.usual_braking(warp, float(beats_s[0]), float(beats_s[-1]), beats_s)
        blows = picture.blows(source, warp.speed(beats_s), usual, accent, bounds)
        near = np.exp(-((distance_s(source.ravel(), strokes_s).reshape(source.shape) / STROKE_WIDTH_S) ** 2) / 2)
        worth = blows + STROKE * near
        chosen = _best(beats_s, source, worth, bounds)
        if chosen is None:
            return found
        rows = np.arange(len(beats_s))
        try:
            warp = time_map(beats_s, source[rows, chosen], bounds)
        except RetargetRefused:
            return found
        found = RefinedAnchors(beats_s, source[rows, chosen], blows[rows, chosen], warp)
    return found


def _best(beats_s: Floats, source: Floats, gain: Floats, bounds: tuple[float, float]) -> np.ndarray | None:
    """(J,) the candidates of the highest gain less what their speeds cost; None when no row of them is lawful."""
    low, high = bounds[0] + ROOM, bounds[1] - ROOM
    step = max_speed_step(*bounds) * (1 - 1e-6)
    value, before, came_from = gain[0][:, None], None, []
    for j in range(1, len(beats_s)):
        seconds = beats_s[j] - beats_s[j - 1]
        speed = (source[j][None, :] - source[j - 1][:, None]) / seconds  # (C before, C)
        lawful = (speed >= low) & (speed <= high)
        log = np.log(np.where(lawful, speed, 1.0))
        worth = np.where(lawful, gain[j][None, :] - SPEED * seconds * log**2, -np.inf)
        if before is None:
            value = value + worth
        else:
            lawful = np.abs(speed[None] - before[0][:, :, None]) <= step  # (C two before, C before, C)
            change = np.where(lawful, CHANGE * (log[None] - before[1][:, :, None]) ** 2, np.inf)
            ways = value[:, :, None] - change
            choice = ways.argmax(axis=0)
            value = np.take_along_axis(ways, choice[None], axis=0)[0] + worth
            came_from.append(choice)
        before = speed, log
    if not np.isfinite(value).any():
        return None
    last, end = np.unravel_index(int(np.argmax(value)), value.shape)
    path = [int(end), int(last)]
    for choice in reversed(came_from):
        path.append(int(choice[path[-1], path[-2]]))
    return np.array(path[::-1])
