"""Prepares the strokes of a dance and the targets of the music for the alignment, with stand-ins in the gaps.

Chooses which points of the music are met (`on`), and at which tempo octave. Knows no file and no alignment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mudar.records import Array, Rhythm
from mudar.retarget.settings import RetargetSettings
from mudar.rhythm.metrics import distance_s, nearest
from mudar.rhythm.postprocessing import is_confident

Floats = NDArray[np.float64]
MIN_GAP_S = 0.18  # two strokes or targets closer than this are one gesture: the stronger stands
BRAKES_WITHIN_S = 0.1  # of a stroke: the brake that belongs to it
WEAKEST = 0.15  # floor of a real point's strength, so that it is worth landing


@dataclass(frozen=True)
class Events:
    """Holds (N,) ascending times in seconds and (N,) strengths in 0..1; strength 0 = a stand-in that need not land."""

    times_s: Floats
    strengths: Floats

    def __len__(self) -> int:
        """Returns N, the number of events."""
        return len(self.times_s)

    @property
    def real(self) -> NDArray[np.bool_]:
        """Marks (N,) the events that are no stand-ins."""
        return self.strengths > 0


def rhythm_events(times_s: ArrayLike, strengths: ArrayLike | None = None, *, min_gap_s: float = MIN_GAP_S) -> Events:
    """Sorts and thins times (the stronger of two within `min_gap_s` stays), strengths scaled to a maximum of 1.

    >>> rhythm_events([1.0, 0.0, 1.1], [1.0, 0.5, 2.0]).times_s.tolist()
    [0.0, 1.1]
    """
    times = np.asarray(times_s, np.float64).ravel()
    weights = np.ones_like(times) if strengths is None else np.asarray(strengths, np.float64).ravel()
    order = np.argsort(times, kind="stable")
    times, weights = times[order], weights[order]
    top = weights.max(initial=0.0)
    weights = np.clip(weights / top, WEAKEST, 1.0) if top > 0 else np.ones_like(weights)
    keep = np.zeros(len(times), bool)
    for i in np.argsort(-weights, kind="stable"):
        lo, hi = np.searchsorted(times, [times[i] - min_gap_s + 1e-9, times[i] + min_gap_s - 1e-9])
        keep[i] = not keep[lo:hi].any()
    return Events(times[keep], weights[keep])


def trust_strokes(dance: Rhythm) -> bool:
    """Returns whether strokes land as they are: the network is sure, they are a user's, or no impacts are known."""
    if not len(dance.times_s) or not len(dance.impacts_s):
        return True
    return not len(dance.peaks_s) and is_confident(dance.strengths)


def _visible_strokes(dance: Rhythm) -> tuple[Array, Array]:
    """Returns times and strengths of what looks like a stroke: the network's peaks, where the strokes are beats."""
    if trust_strokes(dance) or not len(dance.peaks_s):
        return dance.times_s, dance.strengths
    return dance.peaks_s, dance.peak_strengths


def stroke_anchors(dance: Rhythm) -> Floats:
    """Returns the (N,) seconds at which the strokes of a dance look like strokes, ascending.

    A network that is sure of its strokes knows where in the motion they lie. One that is not gives the tempo and
    roughly the place, and what an eye takes for the stroke is where the body brakes: the strokes move there. An even
    chain of beats says when to strike, not where in the motion, so the network's own peaks are taken in its place.
    """
    times, impacts = np.asarray(_visible_strokes(dance)[0], np.float64), np.asarray(dance.impacts_s, np.float64)
    if trust_strokes(dance):
        return times
    brakes = nearest(times, impacts)
    return np.where(np.abs(brakes - times) <= BRAKES_WITHIN_S, brakes, times)


def stroke_events(dance: Rhythm) -> Events:
    """Returns the strokes of a dance, weak doubles thinned out."""
    return rhythm_events(stroke_anchors(dance), _visible_strokes(dance)[1])


def target_events(music: Rhythm, settings: RetargetSettings) -> Events:
    """Returns the points of the music to land on: beats, downbeats most; the onsets where no beats are known."""
    onsets = rhythm_events(music.times_s, music.strengths)
    beats = np.asarray(music.beats_s, np.float64)
    if settings.on == "onsets" or len(beats) < 2:
        chosen = onsets
    elif settings.on == "downbeats":
        downbeats = np.asarray(music.downbeats_s, np.float64)
        chosen = rhythm_events(downbeats if len(downbeats) >= 2 else beats[::4])
    else:
        step = settings.nth if settings.on == "every_nth" else 1
        chosen = _beat_events(beats[::step], music)
    keep = chosen.times_s >= settings.music_start_s
    return Events(chosen.times_s[keep], chosen.strengths[keep])


def _beat_events(beats_s: Floats, music: Rhythm) -> Events:
    """Weighs beats by 0.6 + 0.4 x the onset curve near them (within 50 ms), and downbeats by 1."""
    curve = np.asarray(music.curve, np.float64)
    strengths = np.full(len(beats_s), 0.8)
    if len(curve):
        reach = max(1, round(0.05 * music.fps))
        for k, frame in enumerate(np.round(beats_s * music.fps).astype(int)):
            near = curve[max(0, frame - reach) : frame + reach + 1]
            strengths[k] = 0.6 + 0.4 * float(near.max(initial=0.0))
    if len(music.downbeats_s):
        strengths[distance_s(beats_s, music.downbeats_s) < 0.05] = 1.0
    return rhythm_events(beats_s, np.clip(strengths, 0.0, 1.0))


def tempo_octaves(target: Events, on: str) -> Iterator[tuple[float, Events]]:
    """Yields (octave, targets) for the octaves 1, 1/2 (both phases) and 2 (midpoints, half as strong); onsets: 1."""
    yield 1.0, target
    if on == "onsets" or len(target) < 4:
        return
    for phase in (0, 1):
        yield 0.5, Events(target.times_s[phase::2], target.strengths[phase::2])
    between = (target.times_s[1:] + target.times_s[:-1]) / 2
    weak = np.minimum(target.strengths[1:], target.strengths[:-1]) / 2
    times = np.concatenate([target.times_s, between])
    order = np.argsort(times)
    yield 2.0, Events(times[order], np.concatenate([target.strengths, weak])[order])


def fill_gaps(events: Events) -> Events:
    """Adds stand-ins of strength 0 in gaps over 1.6 typical intervals, so that a path can cross a pause."""
    if len(events) < 3:
        return events
    gaps = np.diff(events.times_s)
    typical = float(np.median(gaps))
    extra = [
        start + gap * np.arange(1, round(gap / typical)) / round(gap / typical)
        for start, gap in zip(events.times_s[:-1], gaps, strict=True)
        if gap > 1.6 * typical
    ]
    if not extra:
        return events
    filled = np.concatenate(extra)
    times = np.concatenate([events.times_s, filled])
    order = np.argsort(times, kind="stable")
    return Events(times[order], np.concatenate([events.strengths, np.zeros(len(filled))])[order])
