"""Gives the planes of a yuv420p frame as arrays, without a copy.

Imports PyAV for its types only: optical flow can be checked on machines that have no PyAV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

Plane = NDArray[np.uint8]


def planes(frame: av.VideoFrame) -> list[Plane]:
    """Returns views of Y, U and V, each (height, width) uint8."""
    return [
        np.frombuffer(cast("memoryview[int]", plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


def empty_like(like: av.VideoFrame) -> av.VideoFrame:
    """Allocates a yuv420p frame of the same size, pixels unset."""
    return type(like)(like.width, like.height, "yuv420p")
