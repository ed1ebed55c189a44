"""The planes of a yuv420p frame as arrays, without a copy. Knows nothing of what is done with them."""

from __future__ import annotations

from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


def planes(frame: av.VideoFrame) -> list[Plane]:
    """Views of Y, U, V, each (height, width) uint8."""
    return [
        np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


def blank(like: av.VideoFrame) -> av.VideoFrame:
    """A new yuv420p frame of the same size, pixels unset."""
    return av.VideoFrame(like.width, like.height, "yuv420p")
