"""Cuts a file into segments of frames, and adds the curves of its overlapping windows to one. numpy only.

A file shorter than a window is one window of its own length: the network takes any length, so nothing is padded.
Shapes: T frames of the file; W frames of a window; S windows; H curves side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mudar.records import Array
from mudar.spec import FeatureSpec, segment_starts

_SPARE_FRAMES = 2  # a file that rounds to a frame or two more than a window is still one


@dataclass(frozen=True)
class Window:
    """Says where a segment lies: in seconds, and from `first_frame` for `frames` frames of the model's rate."""

    start_s: float
    end_s: float
    first_frame: int
    frames: int


def windows(duration_s: float, frames: int, spec: FeatureSpec) -> list[Window]:
    """Lists the S segments of a file that lasts `duration_s` and has `frames` model frames; all are as long."""
    usual = spec.frames_per_segment
    length = frames if frames <= usual + _SPARE_FRAMES else usual
    last = frames - length
    segments = []
    for start_s in segment_starts(duration_s, spec.segment):
        first = min(round(start_s * spec.video.fps), last)
        segments.append(Window(start_s, min(start_s + spec.segment.window_s, duration_s), first, length))
    segments[-1] = replace(segments[-1], first_frame=last)  # to the very last frame, however the seconds round
    return segments


def overlap_add(curves: Array, where: list[Window], frames: int) -> Array:
    """Adds the (S, W, H) curves of windows to (T, H), each weighted towards its middle, where it sees both sides."""
    total = np.zeros((frames, curves.shape[2]), np.float64)
    weight = np.zeros((frames, 1), np.float64)
    for curve, window in zip(curves, where, strict=True):
        part = slice(window.first_frame, window.first_frame + window.frames)
        trust = np.minimum(np.arange(1, window.frames + 1), np.arange(window.frames, 0, -1))[:, None]
        total[part] += trust * curve
        weight[part] += trust
    return (total / np.maximum(weight, 1e-9)).astype(np.float32)
