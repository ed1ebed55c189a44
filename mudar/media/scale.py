"""From a decoded frame to an upright array of the asked size, in one pass of swscale over the full picture.

Knows the display matrix and non-square pixels; knows nothing of time or of files.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

Size = tuple[int, int]
"""(width, height) in pixels, of the upright picture."""


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: transpose first, then mirror left-right, then top-bottom."""

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
        """(h, w[, 3]) as stored → upright and contiguous."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def orientation(frame: av.VideoFrame) -> Orientation:
    """From the display matrix: stored (x, y) is shown at (a x + c y, b x + d y), 16.16 fixed point."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("5i", bytes(cast("Buffer", matrix))[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)


def display_size(width: int, height: int, aspect: float, orient: Orientation) -> Size:
    """Size as shown: pixels `aspect` times as wide as high made square, then turned upright."""
    if aspect > 0 and abs(aspect - 1) > 1e-3:
        width = max(1, round(width * aspect))
    return orient.stored((width, height))


class Scaler:
    """Frame → (h, w, 3) rgb24 or (h, w) gray, uint8, full range. Keep one for a whole file: it keeps its filter.

    Averages over areas when it shrinks (the 2-tap fast bilinear aliases, and aliasing moves by itself).
    size None: the displayed size of the first frame.
    """

    def __init__(self, size: Size | None, pixel: str) -> None:
        self._size = size
        self._pixel = pixel
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """One frame; frames may change their size on the way."""
        orient = orientation(frame)
        if self._size is None:
            self._size = display_size(frame.width, frame.height, 1.0, orient)
        width, height = orient.stored(self._size)
        shrinks = width < frame.width or height < frame.height
        small = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._pixel,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return orient(cast("NDArray[np.uint8]", small.to_ndarray()))
