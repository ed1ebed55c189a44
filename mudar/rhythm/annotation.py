"""Puts strokes and beats that a person gives in place of the detected ones. Knows no file and no database.

Shapes: N points, ascending seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from mudar.errors import OutOfRange
from mudar.records import Array, Rhythm, RhythmFrom

EDITABLE = ("times_s", "strengths", "beats_s", "downbeats_s")
_MOVED_BY = ("impacts_s", "peaks_s", "peak_strengths")  # would move them
_ROUNDING_S = 1e-3

Points = Sequence[float] | Array


def apply_annotation(rhythm: Rhythm, changes: Mapping[str, Points], duration_s: float, *, even: bool = False) -> Rhythm:
    """Returns `rhythm` with `changes` of EDITABLE in place of its own points, in an item of `duration_s`.

    Strokes without strengths are all strong; new strokes are not moved again when they are retargeted; new beats give
    the tempo. even: taps are smoothed, and strokes snap to the motion (smoothing.py). Raises OutOfRange.
    """
    from mudar.rhythm.smoothing import (  # scipy, which an API that reads rhythms can do without
        smooth_taps,
        smooth_times,
    )

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


def resolve(rhythm: Rhythm, rhythm_from: str) -> Rhythm:
    """Returns the rhythm of a dance with points from its sound, from its picture, or (`auto`) as they are.

    OutOfRange where the sound is wanted and has no beats. A person's edits count as the picture's.
    """
    if rhythm_from not in get_args(RhythmFrom):
        raise OutOfRange(f"There is no rhythm from {rhythm_from!r}.", hint="Use auto, sound or picture.")
    if rhythm_from == "sound" and rhythm.source != "sound":
        sound = rhythm.sound
        if sound is None or len(sound.beats_s) < 2:
            raise OutOfRange("The clip has no sound with beats.", hint="Use rhythm_from=auto or picture.")
        none = np.zeros(0, np.float32)
        return replace(
            rhythm,
            times_s=sound.beats_s,
            strengths=np.ones_like(sound.beats_s),
            beats_s=sound.beats_s,
            downbeats_s=sound.downbeats_s,
            tempo_bpm=sound.tempo_bpm,
            tempo_alternatives=((sound.tempo_bpm, 1.0),),
            peaks_s=none,
            peak_strengths=none,
            source="sound",
            picture=replace(rhythm, curve=none, speed=np.zeros((0, 4), np.float32), impacts_s=none, sound=None),
        )
    if rhythm_from == "picture" and rhythm.picture is not None:
        points = rhythm.picture
        return replace(
            points, curve=rhythm.curve, speed=rhythm.speed, speed_fps=rhythm.speed_fps, impacts_s=rhythm.impacts_s,
            sound=rhythm.sound, source="picture", picture=None,
        )  # fmt: skip
    return rhythm


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
