"""How well strokes lie on music: pure functions of times, each with its chance level. Knows no map and no file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from mudar.retarget.events import Floats

BEAT_SIGMA_S = 0.05
CHANCE_SHIFTS = 200
GOLDEN = (5**0.5 - 1) / 2  # steps of this share of the duration never fall into step with a beat


def nearest_s(from_s: ArrayLike, to_s: ArrayLike) -> Floats:
    """(N,) seconds from each of `from_s` to the nearest of `to_s`, which ascends; inf when that is empty."""
    here, there = np.asarray(from_s, float), np.asarray(to_s, float)
    if not len(there):
        return np.full(len(here), np.inf)
    after = np.searchsorted(there, here)
    right = np.abs(there[np.minimum(after, len(there) - 1)] - here)
    return np.minimum(right, np.abs(here - there[np.maximum(after - 1, 0)]))


def hit_share(onsets_s: ArrayLike, strokes_s: ArrayLike, tolerance_s: float) -> float:
    """Share of the onsets with a stroke within ±tolerance; 0 when there are no onsets."""
    gaps = nearest_s(onsets_s, strokes_s)
    return float((gaps <= tolerance_s + 1e-9).mean()) if len(gaps) else 0.0


def beat_alignment(beats_s: ArrayLike, strokes_s: ArrayLike, sigma_s: float = BEAT_SIGMA_S) -> float:
    """Mean over the strokes of exp(-d²/2σ²), d = distance to the nearest beat; 0 when there are no strokes."""
    gaps = nearest_s(strokes_s, beats_s)
    return float(np.exp(-(gaps**2) / (2 * sigma_s**2)).mean()) if len(gaps) else 0.0


def chance_level(score: Callable[[Floats], float], strokes_s: ArrayLike, duration_s: float) -> float:
    """Mean of `score` over evenly spread circular shifts of the strokes within the duration: same density, no sync."""
    strokes = np.asarray(strokes_s, float)
    if not len(strokes) or duration_s <= 0:
        return 0.0
    moves = duration_s * (np.arange(1, CHANCE_SHIFTS + 1) * GOLDEN % 1.0)
    return float(np.mean([score(np.sort((strokes + move) % duration_s)) for move in moves]))
