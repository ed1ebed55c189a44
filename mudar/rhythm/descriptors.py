"""Computes the rhythm vector R of every segment of an item, as its ModelConfig asks, for serving and for training.

Knows which curves a dance and a piece of music are compared by. Retrieval compares how two segments repeat, not where
their beats lie, since a dance and another song never start together. No files, no network. Section 4.3.

Shapes: T model frames; M motion features; S segments; R the length of a rhythm vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.features.windows import Window
from mudar.model.config import ModelConfig, RhythmVectorKind
from mudar.records import Array
from mudar.rhythm.autocorrelation import autocorrelation, autocorrelation_vector, lags_s, smooth_over_segments
from mudar.rhythm.motion_speed import deceleration
from mudar.spec import VideoSpec

TEMPO_LAGS_S = 0.25, 2.0  # of the kind "tempo"
_MIN_OVERLAP = 0.25
_BEATS, _ONSETS = 4.0, 1.0  # beats are tracked over the song; onsets say what the tracker may have missed

Floats = NDArray[np.float64]


def dance_descriptor(config: ModelConfig, spec: VideoSpec, rows: Array, curve: Array, where: list[Window]) -> Array:
    """Returns the (S, R) rhythm vectors of a dance with the network's (T, M) input and its (T,) rhythm curve."""
    source = config.rhythm_vector_from
    if source == "grid":  # how hard it brakes in each cell and direction; without a grid, in each direction
        cells = rows[:, spec.hoof_bins + 1 :] if spec.grid else rows[:, : spec.hoof_bins]
        return _repetition(config, spec, deceleration(cells), where)
    return _of_curve(config, spec, curve if source == "head" else deceleration(rows[:, spec.hoof_bins]), where)


def music_descriptor(config: ModelConfig, spec: VideoSpec, envelope: Array, beats: Array, where: list[Window]) -> Array:
    """Returns the (S, R) vectors of music with these (T,) curves at the model's rate: onset strength, beat bumps."""
    if config.rhythm_vector == "repeats":
        return _repetition(config, spec, np.stack([beats, envelope], axis=1), where, (_BEATS, _ONSETS))
    return _of_curve(config, spec, envelope, where)


def rhythm_vector(curve: Array | Floats, fps: float, dim: int, kind: RhythmVectorKind = "tempo") -> Array:
    """Returns the (dim,) rhythm vector of a segment's (T,) curve, of L2 norm 1, or all zero when nothing moves.

    "tempo": its autocorrelation at log-spaced lags of 0.25-2 s, free of phase. "curve": the curve itself, as in the
    paper. "both": half of each.
    """
    values = np.asarray(curve, np.float64)
    if kind == "tempo":
        return _unit(_tempo_vector(values, fps, dim))
    if kind == "curve":
        return _unit(_resampled(values, dim))
    half = dim // 2
    return _unit(np.concatenate([_unit(_tempo_vector(values, fps, half)), _unit(_resampled(values, dim - half))]))


def _of_curve(config: ModelConfig, spec: VideoSpec, curve: Array | Floats, where: list[Window]) -> Array:
    kind = config.rhythm_vector
    if kind == "repeats":
        return _repetition(config, spec, curve[:, None], where)
    return np.stack([rhythm_vector(curve[_frames(window)], spec.fps, config.rhythm_dim, kind) for window in where])


def _repetition(
    config: ModelConfig,
    spec: VideoSpec,
    curves: Array | Floats,
    where: list[Window],
    weights: tuple[float, ...] | None = None,
) -> Array:
    vectors = [autocorrelation_vector(curves[_frames(w)], spec.fps, config.rhythm_dim, weights) for w in where]
    return smooth_over_segments(np.stack(vectors), np.array([w.start_s for w in where]), config.rhythm_context_s)


def _frames(window: Window) -> slice:
    return slice(window.first_frame, window.first_frame + window.frames)


def _tempo_vector(curve: Floats, fps: float, dim: int) -> Floats:
    """Returns the mean product of the curve with itself a lag later; 0 where the segment is too short to tell."""
    lags = lags_s(dim, *TEMPO_LAGS_S) * fps
    overlap = len(curve) - lags
    mean = autocorrelation(curve - curve.mean(), lags) / np.maximum(overlap, 1.0)
    return np.where(overlap >= _MIN_OVERLAP * len(curve), mean, 0.0)


def _resampled(curve: Floats, dim: int) -> Floats:
    at = (np.arange(dim) + 0.5) * len(curve) / dim - 0.5
    values = np.interp(at, np.arange(len(curve)), curve) if len(curve) else np.zeros(dim)
    return values - values.mean()


def _unit(vector: Array | Floats) -> Array:
    norm = float(np.linalg.norm(vector))
    return (vector / norm if norm > 1e-12 else np.zeros_like(vector)).astype(np.float32)
