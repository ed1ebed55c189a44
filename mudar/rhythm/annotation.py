"""Puts strokes and beats that a person gives in place of the detected ones. Knows no file and no database.

Shapes: N points, ascending seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mudar.errors import OutOfRange
from mudar.records import Array, Rhythm
from mudar.rhythm.smoothing import smooth_taps, smooth_times

EDITABLE = ("times_s", "strengths", "beats_s", "downbeats_s")
_MOVED_BY = ("impacts_s", "peaks_s", "peak_strengths")  # would move them
_ROUNDING_S = 1e-3

Points = Sequence[float] | Array


def apply_annotation(rhythm: Rhythm, changes: Mapping[str, Points], duration_s: float, *, even: bool = False) -> Rhythm:
    """Returns `rhythm` with `changes` of EDITABLE in place of its own points, in an item of `duration_s`.

    Strokes without strengths are all strong; new strokes are not moved again when they are retargeted; new beats give
    the tempo. even: taps are smoothed, and strokes snap to the motion (smoothing.py). Raises OutOfRange.
    """
    given: dict[str, Any] = {name: _checked(name, values, duration_s) for name, values in changes.items()}
    if even and "times_s" in given:
        given["times_s"] = np.clip(smooth_taps(given["times_s"], rhythm), 0.0, duration_s)
    if even and "beats_s" in given:
        given["beats_s"] = np.clip(smooth_times(given["beats_s"]), 0.0, duration_s)
    if "times_s" in given:
        given |= dict.fromkeys(_MOVED_BY, np.zeros(0, np.float32)) | {"source": "picture", "picture": None}
        given.setdefault("strengths", np.ones_like(given["times_s"]))
    if len(given.get("beats_s", ())) > 1:
        given["tempo_bpm"] = round(60 / float(np.median(np.diff(given["beats_s"]))), 3)
    new = replace(rhythm, **given)
    if len(new.strengths) != len(new.times_s):
        raise OutOfRange("There must be as many strengths as strokes (times_s).")
    return new


def _checked(name: str, values: Points, duration_s: float) -> Array:
    if name not in EDITABLE:
        raise OutOfRange(f"{name} cannot be edited: use {', '.join(EDITABLE)}.")
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise OutOfRange(f"{name} must be a list of finite numbers.")
    if name == "strengths":
        if ((array < 0) | (array > 1)).any():
            raise OutOfRange("strengths lie in 0..1.")
    elif (np.diff(array) <= 0).any() or (len(array) and (array[0] < 0 or array[-1] > duration_s + _ROUNDING_S)):
        raise OutOfRange(f"{name} must ascend, in seconds from 0 to {duration_s:g}.")
    return array.astype(np.float32)
