"""Measures how strongly curves repeat after each lag, and makes the phase-free rhythm vector of many curves of it.

A dancer's speed alone says little about the tempo: limbs move in turn. So each cell and direction of the flow has its
own autocorrelation, in which its own repetition shows, and those are averaged. What is common to all lags near each
other (a slow fall from lag 0) is the same for every tempo and is taken off. What else was tried:
docs/experiments/RETRIEVAL.md. numpy and scipy only; knows no files, no network. Section 4.3's R.

Shapes: T frames at `fps`; C curves side by side; L lags; R = length of the vector; S segments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from mudar.records import Array

MIN_LAG_S, MAX_LAG_S = 1 / 3, 4.0  # from the fastest beat to two bars of a slow song
_LOCAL_OCTAVES = 0.2  # standard deviation of the neighbourhood of a lag whose mean is taken off
_MIN_OVERLAP = 0.3  # of the curve with itself, below which a lag says nothing

Floats = NDArray[np.float64]


def lags_s(dim: int, shortest_s: float = MIN_LAG_S, longest_s: float = MAX_LAG_S) -> Floats:
    """Returns the (dim,) log-spaced seconds that the entries of a rhythm vector stand for.

    >>> lags_s(3, 0.25, 1.0).tolist()
    [0.25, 0.5, 1.0]
    """
    return np.geomspace(shortest_s, longest_s, dim)


def autocorrelation(curves: Floats, lags: Floats, weights: Floats | None = None) -> Floats:
    """Sums c(t) c(t + lag) over t: (..., L) of curves (..., T) at fractional lags in frames, exact if band-limited.

    weights: (C,), for the weighted sum (L,) of the autocorrelations of (C, T) curves.
    """
    frames = curves.shape[-1]
    if frames < 2:
        return np.zeros((*curves.shape[:-1], len(lags)))
    power = np.abs(np.fft.rfft(curves, 2 * frames)) ** 2  # (..., T + 1)
    if weights is not None:
        power = weights @ power
    power[..., 1:-1] *= 2  # both sides of the spectrum
    angle = np.pi / frames * np.arange(frames + 1)
    return power @ np.cos(angle[:, None] * lags) / (2 * frames)


def autocorrelation_vector(curves: ArrayLike, fps: float, dim: int, weights: tuple[float, ...] | None = None) -> Floats:
    """Returns the rhythm vector (R,) of (T, C) curves, not of norm 1; all zero when nothing moves.

    weights: how much each curve counts; default: by its own deviation, so that cells where nobody is do not count.
    """
    centered = np.asarray(curves, np.float64)
    centered = centered - centered.mean(axis=0)
    deviation = np.linalg.norm(centered, axis=0)  # (C,)
    moving = deviation > 1e-9
    counts = (deviation if weights is None else np.asarray(weights))[moving]
    if not moving.any() or len(centered) < 2:
        return np.zeros(dim)
    lags = lags_s(dim) * fps
    overlap = np.maximum(1.0 - lags / len(centered), 0.0)
    valid = overlap >= _MIN_OVERLAP
    mean = autocorrelation((centered[:, moving] / deviation[moving]).T, lags, counts / counts.sum())
    mean = np.where(valid, mean / np.maximum(overlap, _MIN_OVERLAP), 0.0)
    return np.where(valid, mean - _local_mean(mean, valid), 0.0)


def smooth_over_segments(vectors: Floats, starts_s: Floats, context_s: float) -> Array:
    """Averages each segment's vector with its neighbours', by how near they are in time; (S, R) of norm 1.

    A song keeps its tempo longer than a segment lasts. context_s: standard deviation; 0 = each segment by itself.
    """
    if context_s > 0:
        distance = (starts_s[:, None] - starts_s) / context_s
        weight = np.exp(-0.5 * distance**2)
        vectors = weight / weight.sum(axis=1, keepdims=True) @ vectors
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norm > 1e-9, vectors / np.maximum(norm, 1e-9), 0.0).astype(np.float32)


def _local_mean(values: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Returns the mean about each lag, over the lags that say something."""
    sigma = _LOCAL_OCTAVES / np.log2(MAX_LAG_S / MIN_LAG_S) * (len(values) - 1)
    weight = gaussian_filter1d(valid.astype(np.float64), sigma, mode="nearest")
    return gaussian_filter1d(values, sigma, mode="nearest") / np.maximum(weight, 1e-9)
