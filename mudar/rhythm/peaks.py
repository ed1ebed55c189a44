"""From a rhythm curve to strokes: peaks between frames, moved to what the body does at the file's own frame rate.

The network sees 15 frames a second (the paper: 8), and a stroke that is 60 ms off is seen to be off. The motion
itself, at 24-60 frames a second, says exactly when: where it is fastest, slowest, or brakes hardest. Which of the
three a stroke goes with is a matter of style (SCIENCE: bachata moves fastest on the beat, others brake on it), so each
clip decides. numpy and scipy only; knows no files, no torch. Section 3.1.2; tempo is mudar/rhythm/tempo.py's.

Shapes: T frames of the curve; N strokes; K native frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mudar.features.duplicates import duplicate_frames
from mudar.records import Array

Times = NDArray[np.float64]

_CONTEXT_S = 2.0  # a peak stands out from what lies this near
_SMOOTH_S = 0.045  # of the native speed: below it lies the noise of the flow
_SPEED_HZ = 240.0  # the even clock that native speed is brought to
_LANDMARK_SHARE = 0.1  # of the speed's usual range that a landmark must stand out by
_SPEED_DIGITS = 5  # of a speed in sides a second: dancers move at 0.01 to 0.2
_MIN_STROKES = 4
_CHANCE_SHARE = 0.35  # landmarks anywhere at all lie 0.5 of the window from a stroke, in the median
_TIGHT_S = 0.02  # standard deviation of the brakes about the strokes up to which they are the strokes
_AT_THE_BRAKE_S = 0.03  # as far as strokes may lie from their brakes, in the median, to be taken for them
_COARSE_SHARE = 1 / 3  # of a model frame: how far strokes of the curve scatter, as a standard deviation


def strokes_from_curve(
    curve: Array, fps: float, *, min_gap_s: float = 0.2, threshold: float = 0.3
) -> tuple[Array, Array]:
    """Times (N,) in seconds and strengths (N,) in 0..1 of the peaks of a (T,) curve in 0..1.

    A peak counts when it stands out by `threshold` of the curve's own range (5th to 95th percentile), at least
    `min_gap_s` from a higher one. Its strength is how far it stands out in the curve's units: a network that is not
    sure gives strokes, and weak ones.
    """
    values = np.asarray(curve, np.float64)
    if len(values) < 3:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    span = float(np.quantile(values, 0.95) - np.quantile(values, 0.05)) or float(np.ptp(values))
    if span <= 1e-9:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    frames, about = find_peaks(
        values,
        distance=max(1.0, min_gap_s * fps),
        prominence=threshold * span,
        wlen=max(3, round(_CONTEXT_S * fps) | 1),
    )
    strengths = np.clip(about["prominences"], 0.0, 1.0).astype(np.float32)
    return ((frames + _vertex(values, frames)) / fps).astype(np.float32), strengths


@dataclass(frozen=True)
class Landmarks:
    """The moments (L,) in seconds at which a body does one kind of thing."""

    kind: str
    times_s: Times


def landmarks(native_times_s: Times, displacement: Times) -> tuple[Landmarks, ...]:
    """Speed peaks, speed minima and strongest decelerations of a clip.

    native_times_s: (K,) when each frame is shown; displacement: (K,) mean motion from the frame before, any unit.
    """
    times_s, speed = _even_speed(native_times_s, displacement)
    if len(speed) < 5:
        return ()
    braking = -np.gradient(speed)
    curves = (("speed peak", speed), ("speed minimum", -speed), ("deceleration", braking))
    return tuple(Landmarks(kind, _summits(times_s, curve)) for kind, curve in curves)


def braking_s(native_times_s: Times, displacement: Times) -> Array:
    """(I,) seconds at which the motion of a clip visibly brakes; arguments as for `landmarks`."""
    found = landmarks(np.asarray(native_times_s, np.float64), np.asarray(displacement, np.float64))
    times = next((marks.times_s for marks in found if marks.kind == "deceleration"), np.zeros(0))
    return times.astype(np.float32)


def picture_speed(native_times_s: Times, displacement: Times, fps: float) -> Array:
    """(J, D) mean speed of the picture by direction between j / fps and (j + 1) / fps, in the displacement's unit a
    second. native_times_s as for `landmarks`; displacement: (K, D) from the frame before, or (K,): then (J,).

    A frame shown twice is no pause: the way from one picture to the next is taken evenly.
    """
    times_s, moved = np.asarray(native_times_s, np.float64), np.asarray(displacement, np.float64)
    if len(times_s) < 2:
        return np.zeros((0, *moved.shape[1:]), np.float32)
    by_direction = moved.reshape(len(moved), -1)
    fresh = ~duplicate_frames(by_direction[1:].sum(axis=1))
    fresh[[0, -1]] = True
    times_s, gone = times_s[fresh], np.cumsum(by_direction, axis=0)[fresh]
    clock = np.arange(int(times_s[-1] * fps) + 1) / fps
    way = np.stack([np.interp(clock, times_s, column) for column in gone.T], axis=1)
    speed = np.round(np.diff(way, axis=0) * fps, _SPEED_DIGITS).astype(np.float32)
    return speed.reshape(-1, *moved.shape[1:])


def refine(times_s: Array, native_times_s: Times, native_motion: Times, *, window_s: float = 1 / 15) -> Array:
    """Strokes (N,) moved, by at most `window_s` (one model frame), towards the motion's own landmarks.

    native_motion: (K,) displacement from the frame before, of frames shown at native_times_s. The kind of landmark is
    the one that scatters least about the strokes. Their median distance from it is kept, since the network may have
    learnt to strike before or after it; but where they go closely with a brake, and nearly at it, it is the brake that
    is the stroke, and the distance the network's error. The more the landmarks scatter, the less far strokes go: all
    the way when the scatter is no more than the curve's own, a share when the landmark itself must be loose (the weight
    of the better of two measurements). Strokes without a landmark near stay; if no kind fits better than chance, all
    do.
    """
    coarse = np.asarray(times_s, np.float64)
    if len(coarse) < _MIN_STROKES:
        return np.asarray(times_s, np.float32)
    model_frame_s = window_s
    window_s = min(window_s, 0.45 * float(np.diff(coarse).min()))  # so that the order stays
    found = landmarks(np.asarray(native_times_s, np.float64), np.asarray(native_motion, np.float64))
    fits = [(_fit(coarse, marks.times_s), marks.kind) for marks in found if len(marks.times_s)]
    if not fits:
        return np.asarray(times_s, np.float32)
    (spread_s, offset_s, marks_s), kind = min(fits, key=lambda fit: fit[0][0])
    if spread_s > _CHANCE_SHARE * 0.5 * _usual_gap_s(coarse, marks_s):
        return np.asarray(times_s, np.float32)
    if kind == "deceleration" and 1.48 * spread_s <= _TIGHT_S and abs(offset_s) <= _AT_THE_BRAKE_S:
        offset_s = 0.0
    away = nearest(coarse + offset_s, marks_s) - offset_s - coarse
    own_s, scatter_s = _COARSE_SHARE * model_frame_s, 1.48 * spread_s  # standard deviations
    share = min(1.0, (own_s / max(scatter_s, 1e-6)) ** 2)
    return np.where(np.abs(away) <= window_s, coarse + share * away, coarse).astype(np.float32)


def deceleration(speed: Array) -> Array:
    """How hard the body brakes at each frame of a (T,) speed: its fall, 0 where it rises. Classical, not learned."""
    return np.maximum(-np.gradient(np.asarray(speed, np.float64)), 0.0).astype(np.float32) if len(speed) > 1 else speed


def _fit(strokes_s: Times, marks_s: Times) -> tuple[float, float, Times]:
    """(spread, offset, marks): median distance of the landmarks from the strokes, and how they scatter about it."""
    offset_s = 0.0
    for _ in range(3):  # the nearest landmark to a stroke depends on the offset, which depends on the nearest
        away = nearest(strokes_s + offset_s, marks_s) - strokes_s
        offset_s = float(np.median(away))
    return float(np.median(np.abs(away - offset_s))), offset_s, marks_s


def _usual_gap_s(strokes_s: Times, marks_s: Times) -> float:
    """The distance between landmarks, or between strokes where those are closer: what chance is measured by."""
    gaps = [float(np.median(np.diff(times))) for times in (strokes_s, marks_s) if len(times) > 1]
    return min(gaps)


def nearest(times_s: Times, marks_s: Times) -> Times:
    """(N,) the mark nearest to each time, of (L,) ascending ones, L >= 1."""
    right = np.clip(np.searchsorted(marks_s, times_s), 1, max(len(marks_s) - 1, 1))
    left_s, right_s = marks_s[right - 1], marks_s[np.minimum(right, len(marks_s) - 1)]
    return np.where(times_s - left_s <= right_s - times_s, left_s, right_s)


def _even_speed(times_s: Times, displacement: Times) -> tuple[Times, Times]:
    """An even clock (S,) and the smoothed speed on it. A pair's speed belongs to the moment between its frames.

    Frames shown twice (24 frames a second in a file of 30) are left out: the next one spans the whole step.
    """
    if len(times_s) < 6:
        return np.zeros(0), np.zeros(0)
    kept = np.flatnonzero(~duplicate_frames(displacement[1:]))
    at, step_s = times_s[kept], np.diff(times_s[kept])
    sound = step_s > 1e-6
    middle, speed = ((at[1:] + at[:-1]) / 2)[sound], displacement[kept][1:][sound] / step_s[sound]
    if len(middle) < 5:
        return np.zeros(0), np.zeros(0)
    clock = np.arange(middle[0], middle[-1], 1 / _SPEED_HZ)
    usual = float(np.quantile(speed, 0.95))
    speed = np.minimum(speed, 3 * usual)  # a cut is no stroke
    return clock, gaussian_filter1d(np.interp(clock, middle, speed), _SMOOTH_S * _SPEED_HZ, mode="nearest")


def _summits(times_s: Times, curve: Times) -> Times:
    """Peaks that stand out, in seconds."""
    span = float(np.quantile(curve, 0.95) - np.quantile(curve, 0.05))
    if span <= 0:
        return np.zeros(0)
    frames, _ = find_peaks(curve, prominence=_LANDMARK_SHARE * span, wlen=round(_CONTEXT_S * _SPEED_HZ) | 1)
    return times_s[frames] + _vertex(curve, frames) / _SPEED_HZ


def _vertex(values: Times, frames: NDArray[np.intp]) -> Times:
    """How far (-0.5..0.5 frames) from each peak the parabola through it and its neighbours has its top."""
    left, middle, right = values[frames - 1], values[frames], values[frames + 1]
    bend = left - 2 * middle + right
    shift = np.where(bend < 0, (left - right) / np.where(bend < 0, 2 * bend, 1.0), 0.0)
    return np.clip(shift, -0.5, 0.5)
