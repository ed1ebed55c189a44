"""Filters how a whole clip moves to the curves of its beats, by one linear filter over time.

On real clips a linear filter of a second to either side found beats that networks of ten to a hundred times its size
had learnt by heart from the clips at hand (docs/experiments/BEATS.md). Its weights come in closed form
(training/fit_beat_filter.py). It takes a clip as a whole, since how regularly each part of the picture moves says
which part dances. Knows no files.

Shapes: B clips; T frames; M = spec.motion_dim; G = grid cells; H = len(FILTER_HEADS).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mudar.model.config import FILTER_HEADS
from mudar.records import Array
from mudar.spec import VideoSpec

Floats = NDArray[np.float64]

_SHORTEST_S, _LONGEST_S = 1 / 3, 0.87  # between beats: 69 to 180 a minute
_FLOOR = 0.05  # added to a cell's repetition, so that a clip in which nothing repeats is weighted evenly
_LARGEST = 6.0  # of the weighted log motion of a cell


class BeatFilter(nn.Module):
    """Convolves motion over time, `reach` frames to either side."""

    def __init__(self, reach: int, spec: VideoSpec) -> None:
        super().__init__()
        self.filter = nn.Conv1d(spec.motion_dim, len(FILTER_HEADS), 2 * reach + 1, padding=reach)

    def forward(self, motion: Tensor) -> Tensor:
        """Maps (B, T, M) of `beat_input` to (B, T, H) logits; the curves in 0..1 are their sigmoid."""
        return self.filter(motion.transpose(1, 2)).transpose(1, 2)

    @torch.inference_mode()
    def curves(self, rows: Array, spec: VideoSpec) -> Array:
        """Computes the curves (T, H) in 0..1 of a clip's (T, M) `motion_input`."""
        motion = torch.from_numpy(beat_input(rows, spec)).to(self.filter.weight.device)
        return np.asarray(torch.sigmoid(self(motion[None])[0]).cpu().numpy(), np.float32)


def beat_input(rows: Array, spec: VideoSpec, weights: Floats | None = None) -> Array:
    """Computes the filter's (T, M) input, the change of log motion at each frame, from (T, M) normalised motion.

    Cells of the grid count by `weights`, as a rule their own. The first frame has changed from nothing: 0.
    """
    log_motion = np.log1p(rows)
    if spec.grid:
        start = spec.hoof_bins + 1
        weights = cell_weights(rows, spec) if weights is None else weights
        weighted = log_motion[:, start:] * np.repeat(weights, spec.grid_directions)
        log_motion = np.concatenate([log_motion[:, :start], np.minimum(weighted, _LARGEST)], axis=1)
    return np.asarray(2.0 * np.diff(log_motion, axis=0, prepend=log_motion[:1]), np.float32)


def cell_weights(rows: Array, spec: VideoSpec) -> Floats:
    """Weighs cells, (G,) of mean square 1, by their changes' largest autocorrelation at a beat's distance, squared."""
    if not spec.grid:
        return np.ones(0)
    cells = np.log1p(rows[:, spec.hoof_bins + 1 :]).reshape(len(rows), spec.grid**2, spec.grid_directions)
    change = np.diff(cells.astype(np.float64), axis=0)
    change -= change.mean(axis=0) if len(change) else 0.0
    frames = len(change)
    lags = np.arange(round(_SHORTEST_S * spec.fps), round(_LONGEST_S * spec.fps) + 1)
    lags = lags[lags + 8 < frames]
    if not len(lags):
        return np.ones(spec.grid**2)
    power = np.einsum("tgd,tgd->g", change, change) / frames + 1e-9
    repeats = [np.einsum("tgd,tgd->g", change[lag:], change[:-lag]) / (frames - lag) / power for lag in lags]
    weights = (np.maximum(np.max(repeats, axis=0), 0.0) + _FLOOR) ** 2
    return np.asarray(weights / np.sqrt(np.mean(weights**2)), np.float64)
