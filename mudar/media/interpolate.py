"""Frames between frames, on yuv420p planes. Knows no time map, only pairs of frames and shares of the way.

`nearest` makes none; `blend` cross-fades; `flow` moves pixels (interpolate_flow.py). None goes across a cut.
"""

from __future__ import annotations

from typing import Protocol, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
CUT_STEP = 8  # every 8th pixel of luma is enough to see a cut
CUT_DIFFERENCE = 30.0  # mean luma difference (of 255) above which two frames belong to two shots


class Between(Protocol):
    """Makes frames between two; `workers` = how many pairs are worth making at a time."""

    workers: int

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """A new frame at each share (0..1) of the way; None = it cannot, show the nearest. Safe in threads."""


def planes(frame: av.VideoFrame) -> list[Plane]:
    """Views (no copies) of Y, U, V, each (height, width) uint8."""
    return [
        np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


def blank(like: av.VideoFrame) -> av.VideoFrame:
    """A new yuv420p frame of the same size, pixels unset."""
    return av.VideoFrame(like.width, like.height, "yuv420p")


def is_cut(first: av.VideoFrame, second: av.VideoFrame) -> bool:
    """Whether the two frames belong to different shots."""
    a, b = (planes(f)[0][::CUT_STEP, ::CUT_STEP].astype(np.int16) for f in (first, second))
    return bool(np.abs(a - b).mean() > CUT_DIFFERENCE)


class Blend:
    """A cross-fade of the two frames."""

    workers = 1

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """(1 - share) of the first and share of the second, plane by plane."""
        if is_cut(first, second):
            return [None] * len(shares)
        return [self._mixed(first, second, share) for share in shares]

    def _mixed(self, first: av.VideoFrame, second: av.VideoFrame, share: float) -> av.VideoFrame:
        made = blank(first)
        for a, b, out in zip(planes(first), planes(second), planes(made), strict=True):
            cv2.addWeighted(a, 1 - share, b, share, 0.0, dst=out)
        return made
