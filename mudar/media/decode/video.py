"""Decodes a video file to frames on the file's clock, sampled by time stamp and scaled on the way (paper 3.1.2).

Generators only: one decoded frame is in memory, whatever the length. Variable rates, rotation (display matrix), odd
sizes and non-square pixels come out as plain upright arrays. Knows nothing of flow, segments or the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from mudar.errors import TruncatedMedia, UnreadableMedia
from mudar.media.decode.container import open_media, select_video
from mudar.media.decode.orientation import Orientation, Size, display_size, orientation, pixel_aspect
from mudar.media.decode.timestamps import ends_early, frames_on_clock, promised_end_s, stream_start_s

Pixel = Literal["rgb24", "gray"]
Picture = NDArray[np.uint8]
ROUNDING_S = 0.0006  # matroska rounds to milliseconds: a frame that late still stands for its sample


@dataclass(frozen=True)
class Frame:
    """Holds a decoded frame as an array. image: (h, w, 3) for rgb24 or (h, w) for gray, uint8, upright.

    time_s is index / fps, or the file's own time where no rate was given.
    """

    index: int
    time_s: float
    image: Picture


@dataclass(frozen=True)
class NativeFrame:
    """Holds a frame of the file, small and gray (h, w), and the samples at the requested rate that it stands for."""

    index: int
    time_s: float
    gray_small: Picture
    sampled: tuple[Frame, ...]


@dataclass(frozen=True)
class TimedFrame:
    """Holds a frame as FFmpeg decodes it (not yet upright), shown from time_s until end_s on the file's clock.

    aspect: width of a pixel over its height.
    """

    index: int
    time_s: float
    end_s: float
    frame: av.VideoFrame
    aspect: float = 1.0


def timed_frames(path: str | Path) -> Iterator[TimedFrame]:
    """Decodes each frame of a file with the time it is shown. NoVideoStream, UnreadableMedia, TruncatedMedia."""
    name = Path(path).name
    start_s = stream_start_s(path)
    with open_media(path) as container:
        stream = select_video(container, name)
        aspect = pixel_aspect(stream.sample_aspect_ratio)
        step_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        previous: tuple[float, av.VideoFrame] | None = None
        index = 0
        for time_s, frame in frames_on_clock(container, stream, name, start_s, step_s):
            if previous is not None:
                yield TimedFrame(index, previous[0], time_s, previous[1], aspect)
                index, step_s = index + 1, time_s - previous[0]
            previous = time_s, frame
        if previous is None:
            raise UnreadableMedia(f"No picture in {name} could be decoded.")
        end_s = previous[0] + _last_frame_s(previous[1], step_s)
        yield TimedFrame(index, previous[0], end_s, previous[1], aspect)
        promised_s = promised_end_s(container, stream)
    if ends_early(end_s + start_s, promised_s, step_s):
        raise TruncatedMedia(f"The picture of {name} ends at {end_s:.1f} s of {promised_s:.1f} s.")


def _last_frame_s(frame: av.VideoFrame, step_s: float) -> float:
    """Returns how long the last frame is shown: its own duration if that is sane, else that of the one before."""
    own_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    return own_s if 0.25 * step_s < own_s <= max(1.0, 1.5 * step_s) else min(step_s, 1.0)


def iter_frames(path: str | Path, *, fps: float | None, size: Size | None, pixel: Pixel = "rgb24") -> Iterator[Frame]:
    """Decodes the frames shown at k / fps, or each frame of the file for fps=None.

    The first frame also stands for any time before it. size: (width, height), None for the size as displayed. Errors
    as for `timed_frames`.
    """
    scale = Scaler(size, pixel)
    clock = _SampleClock(fps)
    for shown in timed_frames(path):
        if fps is None:
            yield Frame(shown.index, shown.time_s, scale(shown.frame, shown.aspect))
        elif times := clock.due(shown.end_s):
            image = scale(shown.frame, shown.aspect)
            yield from (Frame(index, time_s, image) for index, time_s in times)


def iter_dual(
    path: str | Path,
    *,
    fps: float,
    size: Size | Callable[[Size], Size],
    native_size: Size,
    native_fps_max: float = 60.0,
    pixel: Pixel = "gray",
) -> Iterator[NativeFrame]:
    """Decodes a file once, to each frame (at most native_fps_max a second) small and gray and to samples at `fps`.

    Sizes are (width, height); `size` may be a function of the size as displayed. Errors as for `timed_frames`.
    """
    scale, scale_small = Scaler(size, pixel), Scaler(native_size, "gray")
    clock = _SampleClock(fps)
    for index, shown in enumerate(_limit_rate(timed_frames(path), native_fps_max)):
        times = clock.due(shown.end_s)
        image = scale(shown.frame, shown.aspect) if times else None
        sampled = tuple(Frame(i, time_s, image) for i, time_s in times if image is not None)
        yield NativeFrame(index, shown.time_s, scale_small(shown.frame), sampled)


class Scaler:
    """Scales frames to upright (h, w, 3) rgb24 or (h, w) gray arrays, uint8, full range, in one pass of swscale.

    Use one for a whole file: it reuses its filter. Averages over areas when it shrinks (the 2-tap fast bilinear
    aliases, and aliasing moves by itself). size: None for the displayed size of the first frame, or a function of it.
    """

    def __init__(self, size: Size | Callable[[Size], Size] | None, pixel: str) -> None:
        self._size = None if callable(size) else size
        self._fit = size if callable(size) else None
        self._pixel = pixel
        self._orient: Orientation | None = None  # of the first frame, see `orientation`
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, aspect: float = 1.0) -> NDArray[np.uint8]:
        """Scales one frame, whose pixels are `aspect` times as wide as high; frames may change their size."""
        if self._orient is None:
            self._orient = orientation(frame)
        if self._size is None:
            displayed = display_size(frame.width, frame.height, aspect, self._orient)
            self._size = self._fit(displayed) if self._fit else displayed
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


class _SampleClock:
    """Hands out the sample times k/fps in order."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps or 1.0
        self._next = 0

    def due(self, end_s: float) -> list[tuple[int, float]]:
        """Returns (index, time) of the samples not yet handed out that fall before `end_s`."""
        first = self._next
        while self._next / self._fps + ROUNDING_S < end_s:
            self._next += 1
        return [(k, k / self._fps) for k in range(first, self._next)]


def _limit_rate(frames: Iterator[TimedFrame], fps_max: float) -> Iterator[TimedFrame]:
    """Drops frames beyond fps_max a second; a frame that stays is shown until the next one that stays."""
    step_s = 1 / fps_max
    current: TimedFrame | None = None
    due_s = float("-inf")
    for shown in frames:
        if shown.time_s >= due_s - 0.25 * step_s:
            if current is not None:
                yield current
            current = shown
            due_s = max(due_s + step_s, shown.time_s + 0.5 * step_s) if due_s > float("-inf") else shown.time_s + step_s
        elif current is not None:
            current = replace(current, end_s=shown.end_s)
    if current is not None:
        yield current
