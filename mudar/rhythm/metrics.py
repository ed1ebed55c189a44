"""Scores how well the events of a dance lie on those of music, each score with its chance level.

Times are seconds. Knows no map and no file: the reports of a retargeting, the model card and the benchmarks all
measure here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BEAT_SIGMA_S = 0.05
MATCH_WINDOW_S = 0.07  # two events this near are the same, as mir_eval has it
CHANCE_SHIFTS = 60
GOLDEN = (5**0.5 - 1) / 2  # steps of this share of the duration never fall into step with a beat


def nearest(times_s: ArrayLike, events_s: ArrayLike) -> Floats:
    """Returns the event nearest to each of (N,) times; `events_s` ascends, and without any the answer is inf.

    >>> nearest([0.2, 0.9], [0.0, 1.0, 2.0]).tolist()
    [0.0, 1.0]
    """
    times, events = np.asarray(times_s, np.float64), np.asarray(events_s, np.float64)
    if not len(events):
        return np.full(times.shape, np.inf)
    right = np.clip(np.searchsorted(events, times), 1, max(len(events) - 1, 1))
    before, after = events[right - 1], events[np.minimum(right, len(events) - 1)]
    return np.where(times - before <= after - times, before, after)


def distance_s(times_s: ArrayLike, events_s: ArrayLike) -> Floats:
    """Returns how far each of (N,) times lies from the nearest event, in seconds; inf where there are no events."""
    return np.abs(nearest(times_s, events_s) - np.asarray(times_s, np.float64))


def hit_share(reference_s: ArrayLike, events_s: ArrayLike, tolerance_s: float) -> float:
    """Returns the share of the reference times with an event within ±tolerance; 0 when there are none.

    >>> hit_share([0.0, 1.0], [0.05, 1.5], tolerance_s=0.1)
    0.5
    """
    gaps = distance_s(reference_s, events_s)
    return float((gaps <= tolerance_s + 1e-9).mean()) if len(gaps) else 0.0


def beat_alignment(beats_s: ArrayLike, events_s: ArrayLike, sigma_s: float = BEAT_SIGMA_S) -> float:
    """Returns the mean over the events of exp(-d²/2σ²), d being the distance to the nearest beat; 0 without events."""
    gaps = distance_s(events_s, beats_s)
    return float(np.exp(-(gaps**2) / (2 * sigma_s**2)).mean()) if len(gaps) else 0.0


def chance_level(score: Callable[[Floats], float], events_s: ArrayLike, duration_s: float) -> float:
    """Returns the mean of `score` over circular shifts of the events within the duration: as dense, but not in sync.

    The CHANCE_SHIFTS shifts spread evenly over the duration.
    """
    events = np.asarray(events_s, np.float64)
    if not len(events) or duration_s <= 0:
        return 0.0
    shifts_s = duration_s * (np.arange(1, CHANCE_SHIFTS + 1) * GOLDEN % 1.0)
    return float(np.mean([score(np.sort((events + shift_s) % duration_s)) for shift_s in shifts_s]))


def f_measure(reference_s: Floats, estimate_s: Floats, window_s: float = MATCH_WINDOW_S) -> float:
    """Gives the F-measure of ascending times, matched one to one within `window_s`; 0 where one has none."""
    if not len(reference_s) or not len(estimate_s):
        return 0.0
    matched = i = j = 0
    while i < len(reference_s) and j < len(estimate_s):
        gap = estimate_s[j] - reference_s[i]
        if abs(gap) <= window_s:
            matched, i, j = matched + 1, i + 1, j + 1
        elif gap > 0:
            i += 1
        else:
            j += 1
    return 2.0 * matched / (len(reference_s) + len(estimate_s))
