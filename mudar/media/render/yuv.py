"""The planes of a yuv420p frame as arrays, without a copy. Knows nothing of what is done with them.

PyAV is named for its types only: what flows are made of can be checked on machines that have no PyAV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

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
    return type(like)(like.width, like.height, "yuv420p")
