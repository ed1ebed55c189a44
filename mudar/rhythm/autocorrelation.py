"""How strongly a motion, or a sound, repeats after each lag: the phase-free rhythm vector of many curves at once.

A dancer's speed alone says little about the tempo: limbs move in turn. So each cell and direction of the flow has its
own autocorrelation, in which its own repetition shows, and those are averaged. What is common to all lags near each
other (a slow fall from lag 0) is the same for every tempo and is taken off. What else was tried:
docs/experiments/RETRIEVAL.md. numpy and scipy only; knows no files, no network. Section 4.3's R.

Shapes: T frames at `fps`; C curves side by side; R = length of the vector; S segments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from mudar.records import Array

MIN_LAG_S, MAX_LAG_S = 1 / 3, 4.0  # from the fastest beat to two bars of a slow song
_LOCAL_OCTAVES = 0.2  # standard deviation of the neighbourhood of a lag whose mean is taken off
_LEAST_OVERLAP = 0.3  # of the curve with itself, below which a lag says nothing

Curves = NDArray[np.float64]


def lags_s(dim: int) -> Curves:
    """(R,) seconds that the entries of a vector stand for."""
    return np.geomspace(MIN_LAG_S, MAX_LAG_S, dim)


def autocorrelation_vector(
    curves: Array | Curves, fps: float, dim: int, weights: tuple[float, ...] | None = None
) -> Curves:
    """(R,) of (T, C) curves, not of norm 1; all zero when nothing moves.

    weights: how much each curve counts; default: by its own deviation, so that cells where nobody is are not heard.
    """
    calm = np.asarray(curves, np.float64) - np.mean(curves, axis=0)
    strength = np.linalg.norm(calm, axis=0)  # (C,)
    known = strength > 1e-9
    counts = (strength if weights is None else np.asarray(weights))[known]
    if not known.any() or len(calm) < 2:
        return np.zeros(dim)
    lags = lags_s(dim) * fps
    share = np.maximum(1.0 - lags / len(calm), 0.0)  # of the curve that still lies over itself
    told = share >= _LEAST_OVERLAP
    power = np.abs(np.fft.rfft(calm[:, known] / strength[known], 2 * len(calm), axis=0)) ** 2 @ counts  # (T + 1,)
    repeated = np.where(told, _at_lags(power / counts.sum(), lags) / np.maximum(share, _LEAST_OVERLAP), 0.0)
    return np.where(told, repeated - _local_mean(repeated, told), 0.0)


def smooth_over_segments(vectors: Curves, starts_s: Curves, context_s: float) -> Array:
    """(S, R) of norm 1: each segment's vector averaged with its neighbours', weighted by how near they are in time.

    A song keeps its tempo longer than a segment lasts. context_s: standard deviation; 0 = each segment by itself.
    """
    if context_s > 0:
        apart = (starts_s[:, None] - starts_s) / context_s
        near = np.exp(-0.5 * apart**2)
        vectors = near / near.sum(axis=1, keepdims=True) @ vectors
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norm > 1e-9, vectors / np.maximum(norm, 1e-9), 0.0).astype(np.float32)


def _at_lags(power: Curves, lags: Curves) -> Curves:
    """The autocorrelation of a (T + 1,) power spectrum at fractional lags in frames, exact if band-limited."""
    frames = len(power) - 1
    both = power.copy()
    both[1:-1] *= 2  # both sides of the spectrum
    return both @ np.cos(np.pi / frames * np.arange(frames + 1)[:, None] * lags) / (2 * frames)


def _local_mean(values: Curves, told: NDArray[np.bool_]) -> Curves:
    """The mean about each lag, over the lags that say something."""
    sigma = _LOCAL_OCTAVES / np.log2(MAX_LAG_S / MIN_LAG_S) * (len(values) - 1)
    weight = gaussian_filter1d(told.astype(np.float64), sigma, mode="nearest")
    return gaussian_filter1d(values, sigma, mode="nearest") / np.maximum(weight, 1e-9)
