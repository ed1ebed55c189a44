"""Strokes and beats as a person gives them, in place of what was found. Knows no file and no database.

Shapes: N points, ascending seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mudar.errors import OutOfRange
from mudar.records import Array, Rhythm

MOVED_BY = ("impacts_s", "peaks_s", "peak_strengths")  # what was seen beside the strokes, and would move them
_ROUNDING_S = 1e-3


def checked_s(name: str, values: Sequence[float] | Array, duration_s: float) -> Array:
    """(N,) of points that lie in an item of `duration_s`. OutOfRange for others, and for what does not ascend."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise OutOfRange(f"{name} must be a list of finite numbers.")
    if (np.diff(array) <= 0).any() or (len(array) and (array[0] < 0 or array[-1] > duration_s + _ROUNDING_S)):
        raise OutOfRange(f"{name} must ascend, in seconds from 0 to {duration_s:g}.")
    return array.astype(np.float32)


def with_strokes(dance: Rhythm, times_s: Array) -> Rhythm:
    """The dance with these strokes, all strong, to land as they are; which of them begins a bar is not known."""
    nothing, times = np.zeros(0, np.float32), np.asarray(times_s, np.float32)
    beside: dict[str, Any] = dict.fromkeys((*MOVED_BY, "downbeats_s"), nothing)
    return replace(dance, times_s=times, strengths=np.ones_like(times), **beside)


def with_beats(music: Rhythm, beats_s: Array) -> Rhythm:
    """The music with these beats and their tempo; which of them begins a bar is not known."""
    beats = np.asarray(beats_s, np.float32)
    tempo = tempo_of(beats) or music.tempo_bpm
    return replace(music, beats_s=beats, downbeats_s=np.zeros(0, np.float32), tempo_bpm=tempo)


def tempo_of(beats_s: Sequence[float] | Array) -> float | None:
    """Beats a minute, by the median; None for fewer than two."""
    return round(60 / float(np.median(np.diff(beats_s))), 3) if len(beats_s) > 1 else None
