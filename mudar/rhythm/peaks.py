"""Reads strokes off a rhythm curve, and snaps them to the motion at the file's own frame rate.

The network sees 15 frames a second (the paper: 8), and a stroke that is 60 ms off is seen to be off. The motion
itself, at 24-60 frames a second, says exactly when: where it is fastest, slowest, or brakes hardest. Which of the
three a stroke goes with is a matter of style (bachata moves fastest on the beat, others brake on it), so each clip
decides. numpy and scipy only; knows no files, no torch. Section 3.1.2.

Shapes: T frames of the curve; N strokes; K frames of the file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from mudar.features.envelope import parabolic_offset
from mudar.records import Array
from mudar.rhythm.metrics import nearest
from mudar.rhythm.motion_speed import DECELERATION, motion_extrema

Floats = NDArray[np.float64]

_CONTEXT_S = 2.0  # a peak stands out from what lies this near
_MIN_STROKES = 4
_CHANCE_SHARE = 0.35  # extrema anywhere at all lie 0.5 of the window from a stroke, in the median
_TIGHT_S = 0.02  # standard deviation of the brakes about the strokes up to which they are the strokes
_AT_THE_BRAKE_S = 0.03  # as far as strokes may lie from their brakes, in the median, to be taken for them
_COARSE_SHARE = 1 / 3  # of a model frame: how far strokes of the curve scatter, as a standard deviation
_MAD_TO_SIGMA = 1.48


def strokes_from_curve(
    curve: Array, fps: float, *, min_gap_s: float = 0.2, threshold: float = 0.3
) -> tuple[Array, Array]:
    """Picks the peaks of a (T,) curve in 0..1: their times (N,) in seconds and their strengths (N,) in 0..1.

    A peak counts when it stands out by `threshold` of the curve's own range (5th to 95th percentile), at least
    `min_gap_s` from a higher one. Its strength is how far it stands out in the curve's units: a network that is not
    sure gives strokes, and weak ones.
    """
    values = np.asarray(curve, np.float64)
    none = np.zeros(0, np.float32)
    if len(values) < 3:
        return none, none
    span = float(np.quantile(values, 0.95) - np.quantile(values, 0.05)) or float(np.ptp(values))
    if span <= 1e-9:
        return none, none
    peaks, properties = find_peaks(
        values,
        distance=max(1.0, min_gap_s * fps),
        prominence=threshold * span,
        wlen=max(3, round(_CONTEXT_S * fps) | 1),
    )
    strengths = np.clip(properties["prominences"], 0.0, 1.0).astype(np.float32)
    return ((peaks + parabolic_offset(values, peaks)) / fps).astype(np.float32), strengths


def snap_to_motion(times_s: Array, native_times_s: Floats, displacement: Floats, *, window_s: float = 1 / 15) -> Array:
    """Moves (N,) strokes, by at most `window_s` (one model frame), towards the extrema of the motion.

    native_times_s, displacement: (K,) when each frame is shown, and how far it moved since the one before. The kind of
    extremum is the one that scatters least about the strokes. Their median distance from it stays, since the network
    may have learnt to strike before or after it; but where they go closely with a brake, and nearly at it, it is the
    brake that is the stroke, and the distance the network's error. The more the extrema scatter, the less far strokes
    go: all the way when the scatter is no more than the curve's own, a share when the extremum itself must be loose
    (the weight of the better of two measurements). Strokes without an extremum near stay; if no kind fits better than
    chance, all do.
    """
    coarse = np.asarray(times_s, np.float64)
    if len(coarse) < _MIN_STROKES:
        return np.asarray(times_s, np.float32)
    model_frame_s = window_s
    window_s = min(window_s, 0.45 * float(np.diff(coarse).min()))  # so that the order stays
    extrema = motion_extrema(np.asarray(native_times_s, np.float64), np.asarray(displacement, np.float64))
    fits = [_fit(coarse, times, kind) for kind, times in extrema if len(times)]
    if not fits:
        return np.asarray(times_s, np.float32)
    spread_s, offset_s, kind, events_s = min(fits, key=lambda fit: fit.spread_s)
    if spread_s > _CHANCE_SHARE * 0.5 * _typical_gap_s(coarse, events_s):
        return np.asarray(times_s, np.float32)
    sigma_s = _MAD_TO_SIGMA * spread_s
    if kind == DECELERATION and sigma_s <= _TIGHT_S and abs(offset_s) <= _AT_THE_BRAKE_S:
        offset_s = 0.0
    shift_s = nearest(coarse + offset_s, events_s) - offset_s - coarse
    share = min(1.0, (_COARSE_SHARE * model_frame_s / max(sigma_s, 1e-6)) ** 2)
    return np.where(np.abs(shift_s) <= window_s, coarse + share * shift_s, coarse).astype(np.float32)


class _Fit(NamedTuple):
    """How one kind of extremum goes with the strokes: its median distance from them, and the scatter about that."""

    spread_s: float
    offset_s: float
    kind: str
    events_s: Floats


def _fit(strokes_s: Floats, events_s: Floats, kind: str) -> _Fit:
    offset_s = 0.0
    for _ in range(3):  # the nearest extremum to a stroke depends on the offset, which depends on the nearest
        distance_s = nearest(strokes_s + offset_s, events_s) - strokes_s
        offset_s = float(np.median(distance_s))
    return _Fit(float(np.median(np.abs(distance_s - offset_s))), offset_s, kind, events_s)


def _typical_gap_s(strokes_s: Floats, events_s: Floats) -> float:
    """Returns the distance between extrema, or between strokes where those are closer: what chance is measured by."""
    return min(float(np.median(np.diff(times))) for times in (strokes_s, events_s) if len(times) > 1)
