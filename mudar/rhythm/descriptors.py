"""R of every segment of an item, as its ModelConfig asks: the same lines for serving and for the laboratory.

Knows which curves a dance and a piece of music are compared by; how a vector is made of them is tempo.py's (one curve)
and repeats.py's (many). No files, no network. Section 4.3.

Shapes: T model frames; M motion features; S segments; R the length of a rhythm vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.features.windows import Window
from mudar.model.config import ModelConfig
from mudar.records import Array
from mudar.rhythm.autocorrelation import autocorrelation_vector, smooth_over_segments
from mudar.rhythm.peaks import deceleration
from mudar.rhythm.tempo import rhythm_vector
from mudar.spec import VideoSpec

_BEATS, _ONSETS = 4.0, 1.0  # a beat is found in the whole song; onsets say what the finder of beats may have missed


def dance_descriptor(config: ModelConfig, spec: VideoSpec, rows: Array, curve: Array, where: list[Window]) -> Array:
    """(S, R) of a dance with the network's (T, M) input and its (T,) rhythm curve."""
    source = config.rhythm_vector_from
    if source == "grid":
        return _repeats(config, spec, _braking_cells(rows, spec), where)
    line = curve if source == "head" else deceleration(rows[:, spec.hoof_bins])
    return _of_line(config, spec, line, where)


def music_descriptor(config: ModelConfig, spec: VideoSpec, envelope: Array, beats: Array, where: list[Window]) -> Array:
    """(S, R) of music with these (T,) curves at the model's rate: onset strength, and a bump at each beat."""
    if config.rhythm_vector == "repeats":
        return _repeats(config, spec, np.stack([beats, envelope], axis=1), where, (_BEATS, _ONSETS))
    return _of_line(config, spec, envelope, where)


def _of_line(config: ModelConfig, spec: VideoSpec, line: Array, where: list[Window]) -> Array:
    kind = config.rhythm_vector
    if kind == "repeats":
        return _repeats(config, spec, line[:, None], where)
    return np.stack([rhythm_vector(line[_of(window)], spec.fps, config.rhythm_dim, kind) for window in where])


def _repeats(
    config: ModelConfig,
    spec: VideoSpec,
    curves: Array | NDArray[np.float64],
    where: list[Window],
    weights: tuple[float, ...] | None = None,
) -> Array:
    found = np.stack(
        [autocorrelation_vector(curves[_of(window)], spec.fps, config.rhythm_dim, weights) for window in where]
    )
    return smooth_over_segments(found, np.array([window.start_s for window in where]), config.rhythm_context_s)


def _braking_cells(rows: Array, spec: VideoSpec) -> NDArray[np.float64]:
    """(T, C): how hard the motion brakes in each cell and direction; without a grid, in each direction."""
    cells = rows[:, spec.hoof_bins + 1 :] if spec.grid else rows[:, : spec.hoof_bins]
    if len(cells) < 2:
        return np.zeros(cells.shape)
    return np.maximum(-np.gradient(cells.astype(np.float64), axis=0), 0.0)


def _of(window: Window) -> slice:
    return slice(window.first_frame, window.first_frame + window.frames)
