"""Moves landings to where the picture will look like an impact.

The chain of dtw.py says which part of the dance goes with which part of the music. A network that is not sure of its
strokes knows that much, and not the moment. So each beat, also one that no stroke was found for, looks at the moments
of the source up to half a beat (300 ms at least) to either side of the one it has, and all beats choose together: what
is gained is how surely the moment would look like an impact (saliency.py), and a little for a stroke of the network;
what is paid is speed and its change; the bounds are hard. The state is (this beat's candidate, the last one's), which
makes the change of speed exact. What happens between the beats is speed_optimization.py's. Pure.

J = beats, C = candidates of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, max_speed_step, time_map
from mudar.rhythm.metrics import distance_s

REACH_S, FURTHEST_S = 0.3, 0.6  # half a beat, but at least and at most this far
STEP_S = 0.03
ROUNDS = 2  # the speed at a beat, which its saliency depends on, is that of the round before
STROKE = 0.2  # gained where a stroke of the network is
STROKE_WIDTH_S = 0.02
SPEED = 0.5  # paid, times ln(speed)^2 times seconds
CHANGE = 2.0  # paid, times (change of ln speed)^2
ROOM = 0.04  # between mean speeds and the bounds: room for an accent
MIN_SALIENCY = 0.4  # from here on an impact counts as a landing
MIN_BEATS = 3


@dataclass(frozen=True)
class RefinedAnchors:
    """Holds (J,) music seconds, (J,) source seconds, (J,) how surely each looks like an impact, 0..1, and the map."""

    music_s: Floats
    source_s: Floats
    saliency: Floats
    warp: TimeMap


def refine_anchors(
    warp: TimeMap, beats_s: Floats, profile: MotionProfile, limits: SpeedLimits
) -> RefinedAnchors | None:
    """Moves `warp` at these beats ((J,) ascending music seconds); None where there are too few or no way."""
    if len(beats_s) < MIN_BEATS:
        return None
    reach_s = float(np.clip(np.median(np.diff(beats_s)) / 2, REACH_S, FURTHEST_S))
    offsets = np.arange(-round(reach_s / STEP_S), round(reach_s / STEP_S) + 1) * STEP_S
    rows = np.arange(len(beats_s))
    anchors: RefinedAnchors | None = None
    for _ in range(ROUNDS):
        source = warp.source_s(beats_s)[:, None] + offsets
        usual = profile.mean_braking(warp, float(beats_s[0]), float(beats_s[-1]), beats_s)
        saliency = profile.impact_saliency(source, warp.speed(beats_s), usual, limits)
        near = np.exp(-((distance_s(source, profile.strokes_s) / STROKE_WIDTH_S) ** 2) / 2)
        chosen = _best(beats_s, source, saliency + STROKE * near, limits.bounds)
        if chosen is None:
            return anchors
        try:
            warp = time_map(beats_s, source[rows, chosen], limits.bounds)
        except RetargetRefused:
            return anchors
        anchors = RefinedAnchors(beats_s, source[rows, chosen], saliency[rows, chosen], warp)
    return anchors


def _best(beats_s: Floats, source: Floats, gain: Floats, bounds: tuple[float, float]) -> np.ndarray | None:
    """Returns (J,) the candidates of the highest gain less what their speeds cost; None when no row is allowed."""
    low, high = bounds[0] + ROOM, bounds[1] - ROOM
    step = max_speed_step(*bounds) * (1 - 1e-6)
    value, before, came_from = gain[0][:, None], None, []
    for j in range(1, len(beats_s)):
        seconds = beats_s[j] - beats_s[j - 1]
        speed = (source[j][None, :] - source[j - 1][:, None]) / seconds  # (C before, C)
        allowed = (speed >= low) & (speed <= high)
        log = np.log(np.where(allowed, speed, 1.0))
        worth = np.where(allowed, gain[j][None, :] - SPEED * seconds * log**2, -np.inf)
        if before is None:
            value = value + worth
        else:
            allowed = np.abs(speed[None] - before[0][:, :, None]) <= step  # (C two before, C before, C)
            change = np.where(allowed, CHANGE * (log[None] - before[1][:, :, None]) ** 2, np.inf)
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
