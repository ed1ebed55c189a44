"""Turns stored pictures upright, by the display matrix that phones write, and makes their pixels square.

Imports no numpy, so that a probe stays quick to start. Knows nothing of scaling or time.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

if TYPE_CHECKING:
    import numpy as np
    from av.buffer import Buffer
    from numpy.typing import NDArray

Size = tuple[int, int]
"""(width, height) in pixels, of the upright picture unless said otherwise."""


@dataclass(frozen=True)
class Orientation:
    """Says how a stored picture becomes upright: transposed first, then mirrored left-right, then top-bottom."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def clockwise_deg(self) -> int:
        """Returns the rotation part in degrees: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def stored(self, size: Size) -> Size:
        """Converts an upright size to the stored one, and the other way round."""
        return (size[1], size[0]) if self.transpose else size

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turns a stored (h, w[, 3]) image upright; a view of it."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        return image[::-1] if self.flip_y else image


def orientation(frame: av.VideoFrame) -> Orientation:
    """Reads the display matrix of a frame: stored (x, y) is shown at (a x + c y, b x + d y), 16.16 fixed point.

    For the first frame only: PyAV ties a frame and its side data into a cycle, so that the picture stays in memory
    until the garbage collector comes by, hundreds of pictures later.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("5i", bytes(cast("Buffer", matrix))[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)


def pixel_aspect(ratio: Fraction | None) -> float:
    """Returns the width of a pixel over its height; 1 when not stated or absurd."""
    aspect = float(ratio) if ratio else 1.0
    return aspect if 0.1 < aspect < 10 and abs(aspect - 1) > 1e-3 else 1.0


def display_size(width: int, height: int, aspect: float, orient: Orientation) -> Size:
    """Returns the size as displayed: the width stretched to square pixels, then turned upright."""
    return orient.stored((max(1, round(width * aspect)), height))
