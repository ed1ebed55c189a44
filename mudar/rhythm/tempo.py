"""Estimates the tempo of any rhythm curve, of dance or of music, and tracks its beats. numpy and scipy only.

Knows no files, no strokes, no network.

Shapes: T frames of a curve at `fps`; F tempi; W windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from mudar.features.envelope import parabolic_offset
from mudar.records import Array
from mudar.rhythm.autocorrelation import autocorrelation

_MIN_BPM, _MAX_BPM, _STEP_BPM = 40.0, 240.0, 0.25
_USUAL_BPM, PRIOR_OCTAVES = 110.0, 1.0  # people dance between 70 and 170, mostly
_WINDOW_S, _HOP_S = 12.0, 3.0  # a tempo holds for so long even when it drifts
_CLOCK_HZ = 60.0  # on which beats are tracked
TIGHTNESS = 100.0

Floats = NDArray[np.float64]


def tempo(
    curve: Array, fps: float, *, prior_octaves: float = PRIOR_OCTAVES
) -> tuple[float, tuple[tuple[float, float], ...]]:
    """Estimates the beats a minute of a (T,) curve.

    Returns the tempo, and (bpm, weight) of it, its half and its double, best first; the weights sum to 1.
    A tempo scores by the curve's spectrum at its frequency, which knows no halves, times the autocorrelation at its
    period, which knows no doubles (Peeters 2006), and by how usual it is, a Gaussian of `prior_octaves`.
    (0, ()) when nothing repeats.
    """
    bpm = np.arange(_MIN_BPM, _MAX_BPM + _STEP_BPM, _STEP_BPM)
    windows = _windows(np.asarray(curve, np.float64), fps)
    if not len(windows):
        return 0.0, ()
    evidence = _evidence(windows, fps, bpm).mean(axis=0)  # (F,)
    score = evidence * np.exp(-0.5 * (np.log2(bpm / _USUAL_BPM) / prior_octaves) ** 2)
    top = int(np.argmax(score))
    if score[top] <= 0:
        return 0.0, ()
    best = float(bpm[top] + _STEP_BPM * float(parabolic_offset(score, np.intp(top))))
    family = best * np.array([1.0, 0.5, 2.0])
    weights = np.interp(family, bpm, score, left=0.0, right=0.0)
    weights /= weights.sum()
    ranked = sorted(zip(family.tolist(), weights.tolist(), strict=True), key=lambda pair: -pair[1])
    return best, tuple(ranked)


def track_beats(curve: Array, fps: float, bpm: float, *, tightness: float = TIGHTNESS) -> Array:
    """Tracks the beats of a (T,) curve at this tempo, from its first frame to its last; (M,) seconds."""
    if bpm <= 0 or len(curve) < 2 or float(np.std(curve)) <= 1e-9:
        return np.zeros(0, np.float32)
    clock_s = np.arange(0.0, (len(curve) - 1) / fps, 1 / _CLOCK_HZ)
    fine = CubicSpline(np.arange(len(curve)) / fps, np.asarray(curve, np.float64))(clock_s)
    score = (fine - fine.mean()) / fine.std()
    return (beat_chain(score, 60.0 * _CLOCK_HZ / bpm, tightness) / _CLOCK_HZ).astype(np.float32)


def beat_chain(score: Floats, period: float, tightness: float) -> NDArray[np.intp]:
    """Finds the chain of frames with the largest score that spans the (T,) curve, by dynamic programming (Ellis 2007).

    A step of d frames costs tightness * ln(d / period)^2 and is between half a period and two. Each block of half a
    period is solved at once, since no step is shorter.
    """
    if not len(score):
        return np.zeros(0, np.intp)
    shortest, longest = max(1, round(period / 2)), round(2 * period)
    steps = np.arange(longest, shortest - 1, -1)  # (S,), so that earlier frames come first
    cost = tightness * np.log(steps / period) ** 2
    total = np.concatenate([np.full(longest, -np.inf), score])  # frame t at t + longest
    previous = np.full(len(score), -1, np.intp)
    for start in range(0, len(score), shortest):
        block = np.arange(start, min(start + shortest, len(score)))
        before = np.lib.stride_tricks.sliding_window_view(total[start : block[-1] + 1 + longest - shortest], len(steps))
        choices = before - cost  # (block, S)
        best = choices.argmax(axis=1)
        gain = choices[np.arange(len(block)), best]
        linked = (gain > 0) | (block > longest)  # a chain may begin anywhere in the first two periods
        previous[block[linked]] = (block - steps[best])[linked]
        total[block[linked] + longest] += gain[linked]
    last = max(len(score) - round(period), 0)
    frame = last + int(np.argmax(total[longest + last :]))
    chain = []
    while frame >= 0:
        chain.append(frame)
        frame = int(previous[frame])
    return np.array(chain[::-1], np.intp)


def bar_starts(beats_s: Array, curve: Array, fps: float, meter: int = 4) -> Array:
    """Returns every `meter`-th beat in seconds, beginning where a (T,) downbeat curve is largest."""
    if len(beats_s) < meter or not len(curve):
        return np.zeros(0, np.float32)
    height = np.interp(beats_s, np.arange(len(curve)) / fps, curve)
    phase = max(range(meter), key=lambda first: float(height[first::meter].mean()))
    return beats_s[phase::meter]


def _windows(curve: Floats, fps: float) -> Floats:
    """Cuts windows (W, T) of `_WINDOW_S`, each less its mean and of norm 1, so that a quiet one counts as much."""
    length, hop = min(round(_WINDOW_S * fps), len(curve)), max(1, round(_HOP_S * fps))
    if length < 2:
        return np.zeros((0, 2))
    windows = np.lib.stride_tricks.sliding_window_view(curve, length)[::hop]
    windows = windows - windows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(windows, axis=1)
    moves = norm > 1e-9
    return windows[moves] / norm[moves, None]


def _evidence(windows: Floats, fps: float, bpm: Floats) -> Floats:
    """Returns the (W, F) spectrum times autocorrelation of (W, T) windows, each between 0 and 1."""
    frames = windows.shape[1]
    rotation = np.exp(-2j * np.pi / 60.0 / fps * np.outer(np.arange(frames), bpm))  # (T, F)
    spectrum = np.abs((windows * np.hanning(frames + 2)[1:-1]) @ rotation)
    spectrum /= np.maximum(spectrum.max(axis=1, keepdims=True), 1e-12)
    lags = 60.0 * fps / bpm
    overlap = np.maximum(1.0 - lags / frames, 0.0)
    repetition = np.where(overlap > 0.1, autocorrelation(windows, lags) / np.maximum(overlap, 0.1), 0.0)
    return spectrum * np.maximum(repetition, 0.0)
