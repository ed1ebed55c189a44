"""Maps the beats of a dance onto the beats of a song one to one, so that what was danced on a beat stays on a beat.

For a dance whose beats are known from its own sound. Nothing is skipped: skipping a beat would shift the dance against
the song. Only where beats begins is open, and which tempo octave. Pure: points in, pairs out.

Shapes: n beats of the dance, m targets, K pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mudar.retarget.align.dtw import BAR_WITHIN_S, Downbeats
from mudar.retarget.events import Events, Floats, fill_gaps
from mudar.retarget.warp.time_map import max_speed_step
from mudar.rhythm.metrics import distance_s
from mudar.rhythm.smoothing import smooth_times

FEWEST_PAIRS: Final = 4
BAR_GAIN: Final = 0.3  # of the pairs, for bars that begin on bars
OTHER_OCTAVE: Final = 0.5  # cost of a map of two beats onto one, beside one of ln(speed)^2
SMOOTHING_ROUNDS: Final = (2, 8, 24)  # tried in turn, until speeds and their changes are within bounds
MOST_DROPPED: Final = 0.2  # of the pairs: more, and the beats of one side are no beats


@dataclass(frozen=True)
class BeatPairs:
    """Holds (K,) music and source seconds that belong together, whether the pair is a real beat of both, the octave."""

    music_s: Floats
    source_s: Floats
    landing: np.ndarray
    octave: float
    gain: float


def align_beats(
    dance: Events, octaves: Iterator[tuple[float, Events]], bars: Downbeats, bounds: tuple[float, float]
) -> BeatPairs | None:
    """Chooses tempo octave and first pair; None where no one-to-one map within the speed bounds exists.

    dance: (n,) beats; octaves: (octave, targets) as `events.tempo_octaves` gives them.
    """
    best: BeatPairs | None = None
    for octave, level in octaves:
        if min(len(dance), len(level)) < FEWEST_PAIRS:
            continue
        speed = float(np.median(np.diff(dance.times_s)) / np.median(np.diff(level.times_s)))
        if not bounds[0] < speed < bounds[1]:
            continue
        cost = np.log(speed) ** 2 + OTHER_OCTAVE * (octave != 1.0)
        for rounds in SMOOTHING_ROUNDS:
            candidates = _offsets(_even(dance, rounds), _even(level, rounds), bars, bounds)
            pairs = max(candidates, key=lambda pairs: pairs.gain, default=None)
            if pairs is not None:
                gain = pairs.gain - cost * len(pairs.music_s)
                if best is None or gain > best.gain + 1e-9:
                    best = replace(pairs, octave=octave, gain=gain)
                break
    return best


def _even(beats: Events, rounds: int) -> Events:
    """Smoothed beats without gaps: a tracker's jitter of 20 ms would make the picture hasten and halt at every beat."""
    times_s = beats.times_s
    for _ in range(rounds):
        times_s = np.asarray(smooth_times(times_s.astype(np.float32)), np.float64)
    return fill_gaps(Events(times_s, beats.strengths))


def _offsets(source: Events, target: Events, bars: Downbeats, bounds: tuple[float, float]) -> Iterator[BeatPairs]:
    """Every way to lay one row of beats on the other that covers nearly as much as any."""
    n, m = len(source), len(target)
    most = min(n, m)
    source_bar = distance_s(source.times_s, bars.dance_s) < BAR_WITHIN_S
    target_bar = distance_s(target.times_s, bars.music_s) < BAR_WITHIN_S
    for shift in range(-(n - 1), m):
        first, count = max(0, -shift), min(n, m - shift) - max(0, -shift)
        if count < max(FEWEST_PAIRS, 0.9 * most):
            continue
        i = np.arange(first, first + count)
        j = i + shift
        feasible = _feasible(target.times_s[j], source.times_s[i], bounds)
        if feasible is None:
            continue
        i, j = i[feasible], j[feasible]
        both = float((source_bar[i] & target_bar[j]).sum()) / max(float(source_bar[i].sum()), 1.0)
        landing = source.real[i] & target.real[j]
        gain = float(target.strengths[j].sum()) + BAR_GAIN * both * len(i)
        yield BeatPairs(target.times_s[j], source.times_s[i], landing, 1.0, gain)


def _feasible(music_s: Floats, source_s: Floats, bounds: tuple[float, float]) -> np.ndarray | None:
    """Numbers of the pairs that a limited map can meet; None when too many cannot be.

    Of two neighbouring spans whose speeds differ too much the pair between them goes; so does one that ends a span
    whose speed is out of bounds.
    """
    keep = np.arange(len(music_s))
    step = max_speed_step(*bounds)
    while len(keep) >= FEWEST_PAIRS and len(keep) >= (1 - MOST_DROPPED) * len(music_s):
        speeds = np.diff(source_s[keep]) / np.diff(music_s[keep])
        outside = np.maximum(speeds - bounds[1], bounds[0] - speeds)
        change = np.abs(np.diff(speeds)) - step
        if outside.max(initial=-1.0) <= 0 and change.max(initial=-1.0) <= 0:
            return keep
        if outside.max(initial=-1.0) > 0:
            worst = int(np.argmax(outside)) + 1
            worst = min(worst, len(keep) - 1)
        else:
            worst = int(np.argmax(change)) + 1
        keep = np.delete(keep, worst)
    return None
