"""From a decoded frame to an upright array of the asked size, in one pass of swscale over the full picture.

Knows the display matrix and non-square pixels; knows nothing of time or of files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from mudar.media.decode.orientation import Orientation, Size, display_size, orientation

__all__ = ["Orientation", "Scaler", "Size", "orientation"]


class Scaler:
    """Frame → (h, w, 3) rgb24 or (h, w) gray, uint8, full range. Keep one for a whole file: it keeps its filter.

    Averages over areas when it shrinks (the 2-tap fast bilinear aliases, and aliasing moves by itself).
    size None: the displayed size of the first frame; a function: what it makes of that size.
    """

    def __init__(self, size: Size | Callable[[Size], Size] | None, pixel: str) -> None:
        self._size = None if callable(size) else size
        self._fit = size if callable(size) else None
        self._pixel = pixel
        self._orient: Orientation | None = None  # a file has one; asking each frame would keep it alive, see there
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, aspect: float = 1.0) -> NDArray[np.uint8]:
        """One frame, whose pixels are `aspect` times as wide as high; frames may change their size on the way."""
        if self._orient is None:
            self._orient = orientation(frame)
        if self._size is None:
            shown = display_size(frame.width, frame.height, aspect, self._orient)
            self._size = self._fit(shown) if self._fit else shown
        width, height = self._orient.stored(self._size)
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
        return np.ascontiguousarray(self._orient(cast("NDArray[np.uint8]", small.to_ndarray())))
