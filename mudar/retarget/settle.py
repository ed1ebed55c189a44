"""Landings settle where the picture will be seen to strike.

The chain of dtw.py says which part of the dance goes with which part of the music. A network that is not sure of its
strokes knows that much, and not the moment. So each beat, also one that no stroke was found for, looks at the moments
of the source up to 200 ms to either side of the one it has, and all beats choose together: what is gained is how
surely the moment would be seen as a blow (blow.py), and a little for a stroke of the network; what is paid is speed
and its change; the bounds are hard. The state is (this beat's candidate, the last one's), which makes the change of
speed exact. Pure: points in, knots out.

J = beats, C = candidates of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mudar.errors import RetargetRefused
from mudar.retarget.blow import Picture
from mudar.retarget.metrics import nearest_s
from mudar.retarget.points import Floats
from mudar.retarget.timewarp import TimeMap, max_speed_step, time_map

REACH_S = 0.2
STEP_S = 0.02
ROUNDS = 2  # the speed at a beat, which a blow depends on, is that of the round before
STROKE = 0.2  # gained where a stroke of the network is
STROKE_WIDTH_S = 0.02
SPEED = 0.5  # paid, times ln(speed)^2 times seconds
CHANGE = 2.0  # paid, times (change of ln speed)^2
ROOM = 0.04  # between mean speeds and the bounds: room for an accent
SEEN = 0.4  # from here on a blow counts as a landing
FEWEST = 3
SPEEDS_ANEW = (0.9, 1.0, 1.1)
SHIFTS_ANEW = 4  # within a beat
MOST_ANEW = 240  # beats, above which only the chain's own map is settled
MOST_LOST = 0.85  # of the beats that a new beginning keeps at least
LEAST_BETTER = 0.02  # a beat, that another beginning must gain


@dataclass(frozen=True)
class Settled:
    """(J,) music seconds, (J,) source seconds, (J,) how surely each is seen as a blow, 0..1, the map, and what a beat
    gains on the average."""

    music_s: Floats
    source_s: Floats
    blows: Floats
    warp: TimeMap
    gain: float


def settle(
    warp: TimeMap, beats_s: Floats, picture: Picture, strokes_s: Floats, accent: float, bounds: tuple[float, float]
) -> Settled | None:
    """`warp` moved at these beats ((J,) ascending music seconds); None where there are too few or no way.

    Short dances also begin anew from straight maps near the chain's own, since one that is half a beat off can be
    better throughout, and no beat reaches that far by itself; the way that gains most a beat is taken.
    """
    if len(beats_s) < FEWEST:
        return None
    best: Settled | None = None
    for begin, beats in [(warp, beats_s), *_others(warp, beats_s, bounds)]:
        found = _settled(begin, beats, picture, strokes_s, accent, bounds)
        if found is not None and (best is None or found.gain > best.gain + LEAST_BETTER):
            best = found
    return best


def _others(warp: TimeMap, beats_s: Floats, bounds: tuple[float, float]) -> Iterator[tuple[TimeMap, Floats]]:
    """Straight maps that show the same picture from the same beat on, a little later or faster, and their beats."""
    if len(beats_s) > MOST_ANEW:
        return
    first, last = (float(second) for second in warp.source_s(beats_s[[0, -1]]))
    gap = float(np.median(np.diff(beats_s)))
    for speed in (s for s in SPEEDS_ANEW if bounds[0] < s < bounds[1]):
        for late in np.arange(SHIFTS_ANEW) / SHIFTS_ANEW * gap * speed:
            other = TimeMap(beats_s[:1], np.array([max(first, 0.0) + late]), np.array([speed]))
            beats = beats_s[other.source_s(beats_s) <= last + REACH_S]
            if len(beats) >= max(FEWEST, MOST_LOST * len(beats_s)):
                yield other, beats


def _settled(
    warp: TimeMap, beats_s: Floats, picture: Picture, strokes_s: Floats, accent: float, bounds: tuple[float, float]
) -> Settled | None:
    """`warp` moved at these beats, from where it is."""
    offsets = np.arange(-round(REACH_S / STEP_S), round(REACH_S / STEP_S) + 1) * STEP_S
    found: Settled | None = None
    for _ in range(ROUNDS):
        source = warp.source_s(beats_s)[:, None] + offsets
        usual = picture.usual_braking(warp, float(beats_s[0]), float(beats_s[-1]), beats_s)
        blows = picture.blows(source, warp.speed(beats_s), usual, accent, bounds)
        near = np.exp(-((nearest_s(source.ravel(), strokes_s).reshape(source.shape) / STROKE_WIDTH_S) ** 2) / 2)
        worth = blows + STROKE * near
        chosen = _best(beats_s, source, worth, bounds)
        if chosen is None:
            return found
        rows = np.arange(len(beats_s))
        try:
            warp = time_map(beats_s, source[rows, chosen], bounds)
        except RetargetRefused:
            return found
        gain = float(worth[rows, chosen].mean())
        found = Settled(beats_s, source[rows, chosen], blows[rows, chosen], warp, gain)
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
