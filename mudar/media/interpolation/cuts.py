"""Detects cuts, where one shot ends and the next begins, from neighbouring frames. Knows no files.

A picture that changes much may still be one shot: a pan, a whirl, a flashing light. So a small picture of each frame
is warped to the next by optical flow, and it is a cut when the flow contradicts itself over half of the picture and
either cannot account for the difference or the difference leaps out of those just before (a jump cut: same room, other
pose). A whirl of a hand-held camera may be taken for a cut: no flow could have gone over it either.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.yuv import Plane, planes

if TYPE_CHECKING:
    import av

cv: Any = cv2  # its stubs know no DIS and no None for maps

SIDE_PX = 64  # the small picture's shorter side
CHANGED = 10.0  # mean difference (of 255) from which on it is worth asking
UNEXPLAINED = 12.0  # the same after one picture is warped to the other by the flow
LEAP = 5.0  # times the largest of the recent differences
BLATANT = 30.0  # a leap of this size needs no flow to be a cut (to black, to a card without texture)
CALM = 0.5  # that counts as at least this much: a still picture's differences are noise
RECENT = 4
INCONSISTENT = 0.5  # share of the picture over which the flow there and back misses the start


class CutDetector:
    """Detects cuts between frames that are given pair by pair, in order. Not for several threads."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._previous: tuple[int, Plane] | None = None  # id and small picture of the frame given last
        self._dis: Any = None

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame) -> bool:
        """Tells whether `second` begins another shot than `first` belongs to."""
        a = self._previous[1] if self._previous is not None and self._previous[0] == id(first) else small_luma(first)
        b = small_luma(second)
        self._previous = id(second), b
        if a.shape != b.shape:
            return True
        change = float(cv.absdiff(a, b).mean())
        leaps = len(self._recent) > 1 and change > LEAP * max(CALM, *self._recent)
        if (leaps and change > BLATANT) or (change > CHANGED and self._flow_fails(a, b, leaps)):
            return True  # and not among the differences that a later one is compared with
        self._recent.append(change)
        return False

    def _flow_fails(self, a: Plane, b: Plane, leaps: bool) -> bool:
        """Tells whether the flow contradicts itself, and the pictures differ by a leap or after warping still."""
        if self._dis is None:
            self._dis = cv.DISOpticalFlow_create(cv.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
            self._dis.setFinestScale(0)
        forth, back = self._dis.calc(a, b, None), self._dis.calc(b, a, None)
        miss = np.linalg.norm(forth + warp(back, forth), axis=2)
        if float((miss > 0.5 + 0.2 * np.linalg.norm(forth, axis=2)).mean()) < INCONSISTENT:
            return False
        left = (cv.absdiff(a, warp(b, forth)).mean() + cv.absdiff(b, warp(a, back)).mean()) / 2
        return leaps or bool(left > UNEXPLAINED)


def small_luma(frame: av.VideoFrame) -> Plane:
    """Shrinks a frame's luma to a shorter side of 64 pixels."""
    luma = planes(frame)[0]
    skip = max(1, min(luma.shape) // (2 * SIDE_PX))  # averaging over all pixels would cost as much as a blend
    luma = luma[::skip, ::skip]
    scale = SIDE_PX / min(luma.shape)
    size = max(SIDE_PX, round(luma.shape[1] * scale)), max(SIDE_PX, round(luma.shape[0] * scale))
    return np.asarray(cv.resize(np.ascontiguousarray(luma), size, interpolation=cv.INTER_AREA), np.uint8)


def warp(image: NDArray[Any], flow: NDArray[np.float32], into: NDArray[Any] | None = None) -> NDArray[Any]:
    """Reads `image` (h, w[, c]) at p + flow(p), flow (h', w', 2) in its pixels; what lies outside is the edge."""
    mode = cv.INTER_LINEAR | cv.WARP_RELATIVE_MAP
    return np.asarray(cv.remap(image, flow, None, mode, dst=into, borderMode=cv.BORDER_REPLICATE))
