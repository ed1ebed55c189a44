"""Measures how fast a picture moves, on an even clock, and when it is fastest, slowest or brakes.

Works on the displacement of a file's own frames (24 to 60 a second), not on a model's. numpy and scipy only; knows no
files. Section 3.1.2.

Shapes: K frames of the file; D directions; T moments of the even clock.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mudar.features.duplicates import duplicate_frames
from mudar.features.envelope import parabolic_offset
from mudar.records import Array

Floats = NDArray[np.float64]

CLOCK_HZ = 240.0  # of the clock on which extrema are looked for
SMOOTH_S = 0.045  # of the speed: below it lies the noise of the flow
CUT = 3.0  # times the usual speed: faster is a cut between two shots and no motion
DECELERATION = "deceleration"

_MIN_FRAMES, _MIN_STEPS = 6, 5
_CONTEXT_S = 2.0  # an extremum stands out from what lies this near
_PROMINENCE_SHARE = 0.1  # of the speed's usual range that an extremum must stand out by
_SPEED_DIGITS = 5  # of a speed in sides a second: dancers move at 0.01 to 0.2


class MotionExtrema(NamedTuple):
    """The moments (N,) in seconds at which the motion of a clip has one kind of extremum."""

    kind: str
    times_s: Floats


def even_speed(
    times_s: Floats, displacement: Floats, clock_hz: float = CLOCK_HZ, smooth_s: float = SMOOTH_S
) -> tuple[Floats, Floats]:
    """Resamples the motion of a clip to an even clock: (T,) seconds, and the smoothed (T,) or (T, D) speed there.

    times_s: (K,) when each frame is shown; displacement: (K,) or (K, D) since the frame before, any unit. The speed
    between two frames belongs to the moment between them. Frames shown twice (24 frames a second in a file of 30) are
    left out, so that the next one spans the whole step. Empty for fewer than six frames.
    """
    moved = np.asarray(displacement, np.float64)
    steps, middle_s = moved[:0], np.zeros(0)
    if len(times_s) >= _MIN_FRAMES:
        fresh = np.flatnonzero(~duplicate_frames(_total(moved[1:])))
        shown_s, step_s = times_s[fresh], np.diff(times_s[fresh])
        valid = step_s > 1e-6
        middle_s = ((shown_s[1:] + shown_s[:-1]) / 2)[valid]
        steps = (moved[fresh][1:][valid].T / step_s[valid]).T
    if len(middle_s) < _MIN_STEPS:
        return np.zeros(0), moved[:0]
    total = _total(steps)
    limit = CUT * float(np.quantile(total, 0.95))
    steps = (steps.T * np.minimum(1.0, limit / np.maximum(total, 1e-12))).T
    clock_s = np.arange(middle_s[0], middle_s[-1], 1 / clock_hz)
    columns = [np.interp(clock_s, middle_s, column) for column in steps.reshape(len(steps), -1).T]
    speed = np.stack(columns, axis=1).reshape(-1, *moved.shape[1:])
    return clock_s, gaussian_filter1d(speed, smooth_s * clock_hz, axis=0, mode="nearest")


def deceleration(speed: Array | Floats) -> Floats:
    """Returns by how much a (T, ...) speed falls at each moment, 0 where it rises.

    >>> deceleration(np.array([0.0, 2.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    values = np.asarray(speed, np.float64)
    return np.maximum(-np.gradient(values, axis=0), 0.0) if len(values) > 1 else np.zeros_like(values)


def motion_extrema(native_times_s: Floats, displacement: Floats) -> tuple[MotionExtrema, ...]:
    """Finds the speed peaks, the speed minima and the strongest decelerations of a clip; () for a very short one.

    native_times_s, displacement: (K,) as for `even_speed`.
    """
    clock_s, speed = even_speed(native_times_s, displacement)
    if len(speed) < _MIN_STEPS:
        return ()
    curves = (("speed peak", speed), ("speed minimum", -speed), (DECELERATION, -np.gradient(speed)))
    return tuple(MotionExtrema(kind, _prominent_peaks(clock_s, curve)) for kind, curve in curves)


def braking_s(native_times_s: Floats, displacement: Floats) -> Array:
    """Finds the (N,) seconds at which the motion of a clip visibly brakes; arguments as for `motion_extrema`."""
    extrema = dict(motion_extrema(np.asarray(native_times_s, np.float64), np.asarray(displacement, np.float64)))
    return extrema.get(DECELERATION, np.zeros(0)).astype(np.float32)


def picture_speed(native_times_s: Floats, displacement: Floats, fps: float) -> Array:
    """Returns the (J, D) mean speed of the picture by direction between j / fps and (j + 1) / fps.

    native_times_s: (K,) seconds; displacement: (K, D) from the frame before; the speed is in its unit a second. A
    frame shown twice is no pause: the way from one picture to the next is taken evenly.
    """
    times_s, moved = np.asarray(native_times_s, np.float64), np.asarray(displacement, np.float64)
    if len(times_s) < 2:
        return np.zeros((0, moved.shape[1]), np.float32)
    fresh = ~duplicate_frames(moved[1:].sum(axis=1))
    fresh[[0, -1]] = True
    times_s, path = times_s[fresh], np.cumsum(moved, axis=0)[fresh]
    clock_s = np.arange(int(times_s[-1] * fps) + 1) / fps
    even_path = np.stack([np.interp(clock_s, times_s, column) for column in path.T], axis=1)
    return np.round(np.diff(even_path, axis=0) * fps, _SPEED_DIGITS).astype(np.float32)


def _total(moved: Floats) -> Floats:
    """Sums (K,) or (K, D) over the directions."""
    return moved.reshape(len(moved), -1).sum(axis=1)


def _prominent_peaks(clock_s: Floats, curve: Floats) -> Floats:
    """Finds the peaks of a (T,) curve that stand out, in seconds."""
    span = float(np.quantile(curve, 0.95) - np.quantile(curve, 0.05))
    if span <= 0:
        return np.zeros(0)
    peaks, _ = find_peaks(curve, prominence=_PROMINENCE_SHARE * span, wlen=round(_CONTEXT_S * CLOCK_HZ) | 1)
    return clock_s[peaks] + parabolic_offset(curve, peaks) / CLOCK_HZ
