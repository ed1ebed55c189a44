"""How a stored picture becomes upright: the display matrix of phones, and pixels that are not square.

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
    """Transpose first, then mirror left-right, then top-bottom."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def clockwise_deg(self) -> int:
        """The rotation part: 0, 90, 180 or 270."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def stored(self, size: Size) -> Size:
        """Size before, given the size after (and the other way round)."""
        return (size[1], size[0]) if self.transpose else size

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(h, w[, 3]) as stored → upright; a view."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        return image[::-1] if self.flip_y else image


def orientation(frame: av.VideoFrame) -> Orientation:
    """From the display matrix: stored (x, y) is shown at (a x + c y, b x + d y), 16.16 fixed point.

    Ask the first frame only: PyAV ties a frame and its side data into a cycle, so that the picture stays in memory
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
    """Width of a pixel over its height; 1 when not stated or absurd."""
    aspect = float(ratio) if ratio else 1.0
    return aspect if 0.1 < aspect < 10 and abs(aspect - 1) > 1e-3 else 1.0


def display_size(width: int, height: int, aspect: float, orient: Orientation) -> Size:
    """Size as shown: pixels made square by stretching the width, then turned upright."""
    return orient.stored((max(1, round(width * aspect)), height))
