"""Pattern 1 of section 4.4, temporal shifting: no speed changes, only where the clip begins.

A window as long as the shorter sequence slides over the longer one; the crop whose number of rhythm points is most
similar stays; then the first rhythm points are laid on each other. Pure: times in, one knot out.
"""

from __future__ import annotations

import numpy as np

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats


def crop_start(points_s: Floats, duration_s: float, window_s: float, count: int) -> float:
    """Start in seconds of the window over `points_s` that holds the number of points most similar to `count`.

    The number only changes where a point enters or leaves, so those starts are all that need a look. Of equal ones
    the earliest wins.
    """
    last = max(0.0, duration_s - window_s)
    starts = np.concatenate([[0.0, last], points_s, points_s - window_s + 1e-6])
    starts = np.unique(starts[(starts >= 0) & (starts <= last)])
    inside = np.searchsorted(points_s, starts + window_s) - np.searchsorted(points_s, starts)
    return float(starts[np.argmin(np.abs(inside - count))])


def shift(strokes_s: Floats, dance_s: float, targets_s: Floats, music_s: float) -> tuple[Floats, Floats]:
    """One knot, ((1,) music seconds, (1,) source seconds): the first stroke of the crop on its first target.

    Raises RetargetRefused when either side has no rhythm points.
    """
    if not len(strokes_s) or not len(targets_s):
        raise RetargetRefused(
            "Nothing to align: the dance has no strokes or the music has no beats.", hint="Take another clip or song."
        )
    stroke, target = float(strokes_s[0]), float(targets_s[0])
    if dance_s > music_s:
        stroke = _first(strokes_s, crop_start(strokes_s, dance_s, music_s, len(targets_s)))
    else:
        target = _first(targets_s, crop_start(targets_s, music_s, dance_s, len(strokes_s)))
    return np.array([target]), np.array([stroke])


def _first(points_s: Floats, start_s: float) -> float:
    """The first point at or after `start_s` (the last one if there is none)."""
    return float(points_s[min(int(np.searchsorted(points_s, start_s)), len(points_s) - 1)])
