"""Prepares the network's input of a dance: motion on one scale, the same for training and serving. numpy only.

Music needs none of this: mudar/rhythm/music.py's `model_input` lies within -1..1 already.
Knows no files and no weights. Shapes: T frames; M = spec.motion_dim.
"""

from __future__ import annotations

import numpy as np

from mudar.records import Array
from mudar.spec import VideoSpec

LARGEST = 8.0  # times a clip's usual motion; beyond it lies a cut or a flash, not a dancer
_GAIN_QUANTILE = 0.75
_GAIN_FLOOR = 1e-4  # picture sides a second: below, there is only the noise of the flow


def motion_input(between: Array, spec: VideoSpec) -> Array:
    """Computes the network's (T, M) input from a clip's (T - 1, M) descriptors of the motion between its frames."""
    return normalise_motion(at_frames(between), spec)


def at_frames(between: Array) -> Array:
    """Interpolates (T, M) motion at each frame, the mean of that before and after it; at the ends, the one there is.

    A pair's motion belongs to the moment between its frames: used for either of them it would be half a frame off.
    """
    if not len(between):
        return np.zeros((1, between.shape[1]), np.float32)
    padded = np.concatenate([between[:1], between, between[-1:]])
    return (0.5 * (padded[:-1] + padded[1:])).astype(np.float32)


def motion_gain(motion: Array, spec: VideoSpec) -> float:
    """Measures how strongly a clip (T, M) usually moves, in picture sides a second: robust to cuts and pauses."""
    magnitude = motion[:, spec.hoof_bins]
    return max(float(np.quantile(magnitude, _GAIN_QUANTILE)), _GAIN_FLOOR) if len(magnitude) else _GAIN_FLOOR


def normalise_motion(motion: Array, spec: VideoSpec, gain: float | None = None) -> Array:
    """Divides the descriptors (T, M) of a clip by its gain; each column is of order 1 and at most `LARGEST`.

    Histograms are multiplied by their number of directions: a motion spread evenly has 1 in each.
    `gain` overrides the clip's own, for a window cut from a longer clip.
    """
    scale = np.ones(spec.motion_dim, np.float32)
    scale[: spec.hoof_bins] = spec.hoof_bins
    scale[spec.hoof_bins + 1 :] = spec.grid_directions
    scale /= motion_gain(motion, spec) if gain is None else gain
    return np.minimum(motion * scale, np.float32(LARGEST)).astype(np.float32)
