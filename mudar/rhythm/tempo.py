"""Tempo, beats and the phase-free rhythm vector of any rhythm curve, of dance or of music. numpy and scipy only.

Section 4.3's R: retrieval compares how two segments repeat, not where their beats lie, since a dance and another
song never start together. Knows no files, no strokes, no network.

Shapes: T frames of a curve at `fps`; F tempi; R = length of a rhythm vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from mudar.model.config import RhythmVectorKind
from mudar.records import Array

_MIN_BPM, _MAX_BPM, _STEP_BPM = 40.0, 240.0, 0.25
_USUAL_BPM, PRIOR_OCTAVES = 110.0, 1.0  # people dance between 70 and 170, mostly
_WINDOW_S, _HOP_S = 12.0, 3.0  # a tempo holds for so long even when it drifts
_MIN_LAG_S, _MAX_LAG_S = 0.25, 2.0
_GRID_HZ = 60.0  # the clock that beats are placed on
TIGHTNESS = 100.0

Curve = NDArray[np.float64]


def tempo(
    curve: Array, fps: float, *, prior_octaves: float = PRIOR_OCTAVES
) -> tuple[float, tuple[tuple[float, float], ...]]:
    """Beats a minute of a (T,) curve, and (bpm, weight) of it, its half and its double, best first; weights sum to 1.

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
    best = float(bpm[top] + _STEP_BPM * _vertex(score, top))
    family = best * np.array([1.0, 0.5, 2.0])
    weights = np.interp(family, bpm, score, left=0.0, right=0.0)
    weights /= weights.sum()
    ranked = sorted(zip(family.tolist(), weights.tolist(), strict=True), key=lambda pair: -pair[1])
    return best, tuple(ranked)


def track_beats(curve: Array, fps: float, bpm: float, *, tightness: float = TIGHTNESS) -> Array:
    """Beats (M,) in seconds: of all chains whose steps are near the tempo's period, the one on the curve's summits.

    Dynamic programming (Ellis 2007), a step d costing tightness * ln(d / period)^2; from the first frame to the last.
    """
    if bpm <= 0 or len(curve) < 2 or float(np.std(curve)) <= 1e-9:
        return np.zeros(0, np.float32)
    duration_s = (len(curve) - 1) / fps
    clock = np.arange(0.0, duration_s, 1 / _GRID_HZ)
    fine = CubicSpline(np.arange(len(curve)) / fps, np.asarray(curve, np.float64))(clock)
    score = (fine - fine.mean()) / fine.std()
    return (_best_chain(score, 60.0 * _GRID_HZ / bpm, tightness) / _GRID_HZ).astype(np.float32)


def bar_starts(beats_s: Array, curve: Array, fps: float, meter: int = 4) -> Array:
    """Every `meter`-th beat in seconds, beginning with the one for which a (T,) downbeat curve is largest."""
    if len(beats_s) < meter or not len(curve):
        return np.zeros(0, np.float32)
    height = np.interp(beats_s, np.arange(len(curve)) / fps, curve)
    phase = max(range(meter), key=lambda first: float(height[first::meter].mean()))
    return beats_s[phase::meter]


def rhythm_vector(curve: Array, fps: float, dim: int, kind: RhythmVectorKind = "tempo") -> Array:
    """R of a segment's (T,) curve: (dim,) of L2 norm 1, or all zero when nothing in it moves.

    "tempo": its autocorrelation at log-spaced lags of 0.25-2 s, free of phase. "curve": the curve itself, as in the
    paper. "both": half of each.
    """
    if kind == "tempo":
        return _unit(_autocorrelation_vector(curve, fps, dim))
    if kind == "curve":
        return _unit(_resampled(curve, dim))
    half = dim // 2
    parts = [_unit(_autocorrelation_vector(curve, fps, half)), _unit(_resampled(curve, dim - half))]
    return _unit(np.concatenate(parts))


def lags_s(dim: int) -> Curve:
    """(dim,) seconds that the entries of a "tempo" vector stand for."""
    return np.geomspace(_MIN_LAG_S, _MAX_LAG_S, dim)


def _autocorrelation_vector(curve: Array, fps: float, dim: int) -> Curve:
    """Mean product of the curve with itself a lag later; 0 where the segment is too short to tell."""
    lags = lags_s(dim) * fps
    values = np.asarray(curve, np.float64)
    correlation = _autocorrelation(values - values.mean(), lags)
    overlap = len(curve) - lags
    return np.where(overlap >= 0.25 * len(curve), correlation / np.maximum(overlap, 1.0), 0.0)


def _autocorrelation(curves: Curve, lags: Curve) -> Curve:
    """Σ_t c(t) c(t + lag), (..., L), of curves (..., T) at fractional lags in frames, exact if band-limited."""
    frames = curves.shape[-1]
    if frames < 2:
        return np.zeros((*curves.shape[:-1], len(lags)))
    power = np.abs(np.fft.rfft(curves, 2 * frames)) ** 2  # (..., T + 1)
    power[..., 1:-1] *= 2  # both sides of the spectrum
    angle = np.pi / frames * np.arange(frames + 1)
    return power @ np.cos(angle[:, None] * lags) / (2 * frames)


def _windows(curve: Curve, fps: float) -> Curve:
    """Stretches (W, T) of `_WINDOW_S`, each less its mean and of norm 1: a quiet one counts as much as a wild one."""
    length, hop = min(round(_WINDOW_S * fps), len(curve)), max(1, round(_HOP_S * fps))
    if length < 2:
        return np.zeros((0, 2))
    found = np.lib.stride_tricks.sliding_window_view(curve, length)[::hop]
    found = found - found.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(found, axis=1)
    moves = norm > 1e-9
    return found[moves] / norm[moves, None]


def _evidence(windows: Curve, fps: float, bpm: Curve) -> Curve:
    """(W, F) spectrum times autocorrelation of (W, T) windows, each between 0 and 1."""
    frames = windows.shape[1]
    turns = np.exp(-2j * np.pi / 60.0 / fps * np.outer(np.arange(frames), bpm))  # (T, F)
    spectrum = np.abs((windows * np.hanning(frames + 2)[1:-1]) @ turns)
    spectrum /= np.maximum(spectrum.max(axis=1, keepdims=True), 1e-12)
    lags = 60.0 * fps / bpm
    overlap = np.maximum(1.0 - lags / frames, 0.0)
    repeats = np.where(overlap > 0.1, _autocorrelation(windows, lags) / np.maximum(overlap, 0.1), 0.0)
    return spectrum * np.maximum(repeats, 0.0)


def _best_chain(score: Curve, period: float, tightness: float) -> NDArray[np.intp]:
    """Frames of the chain with the largest score that spans the curve."""
    shortest, longest = max(1, round(period / 2)), round(2 * period)
    steps = np.arange(longest, shortest - 1, -1)  # earlier frames first
    cost = tightness * np.log(steps / period) ** 2
    total, back = score.copy(), np.full(len(score), -1, np.intp)
    for frame in range(shortest, len(score)):
        first = max(frame - longest, 0)
        choices = total[first : frame - shortest + 1] - cost[len(steps) - (frame - shortest + 1 - first) :]
        best = int(np.argmax(choices))
        if choices[best] > 0 or frame > longest:  # a chain may begin anywhere in the first two periods
            total[frame] += choices[best]
            back[frame] = first + best
    frame = max(len(score) - round(period), 0)
    frame += int(np.argmax(total[frame:]))
    chain = []
    while frame >= 0:
        chain.append(frame)
        frame = int(back[frame])
    return np.array(chain[::-1], np.intp)


def _resampled(curve: Array, dim: int) -> Curve:
    at = (np.arange(dim) + 0.5) * len(curve) / dim - 0.5
    values = np.interp(at, np.arange(len(curve)), curve) if len(curve) else np.zeros(dim)
    return values - values.mean()


def _unit(vector: Curve) -> Array:
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm > 1e-12 else np.zeros_like(vector)).astype(np.float32)


def _vertex(values: Curve, at: int) -> float:
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
