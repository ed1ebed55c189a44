"""A video file as frames on the file's clock, sampled by time stamp, scaled while they are decoded (paper 3.1.2).

Generators only: what is held is one decoded frame, whatever the length. Variable rates, rotation (display matrix),
odd sizes and non-square pixels come out as plain upright arrays. Knows nothing of flow, segments or the model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from mudar.errors import NoVideoStream, TruncatedMedia, UnreadableMedia
from mudar.media.decode.audio import Waveform, decode_audio
from mudar.media.decode.demux import decoded_frames
from mudar.media.decode.orientation import Size, pixel_aspect
from mudar.media.decode.resize import Scaler
from mudar.media.decode.timestamps import FramePts, PtsNormalizer, ends_early, promised_end_s, stream_start_s
from mudar.media.probe.container import open_media, read_only, video_stream

__all__ = ["Frame", "NativeFrame", "TimedFrame", "Waveform", "decode_audio", "iter_dual", "iter_frames", "timed_frames"]

Pixel = Literal["rgb24", "gray"]
Picture = NDArray[np.uint8]
MAX_THREADS = 8  # each thread holds a frame of its own
ROUNDING_S = 0.0006  # matroska rounds to milliseconds: a frame that late still stands for its sample


@dataclass(frozen=True)
class Frame:
    """image: (h, w, 3) for rgb24 or (h, w) for gray, uint8, upright. index/fps, or the file's own time, is time_s."""

    index: int
    time_s: float
    image: Picture


@dataclass(frozen=True)
class NativeFrame:
    """One frame of the file, small and gray (h, w), and the samples at the asked rate that it stands for."""

    index: int
    time_s: float
    gray_small: Picture
    sampled: tuple[Frame, ...]


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame as FFmpeg gives it (not yet upright), shown from time_s until end_s on the file's clock.

    aspect: width of a pixel over its height.
    """

    index: int
    time_s: float
    end_s: float
    frame: av.VideoFrame
    aspect: float = 1.0


def timed_frames(path: str | Path) -> Iterator[TimedFrame]:
    """Each frame of the file with the time it is shown. NoVideoStream, UnreadableMedia, TruncatedMedia."""
    name = Path(path).name
    start_s = stream_start_s(path)
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoVideoStream(f"{name} has no picture.")
        read_only(container, stream)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
        aspect = pixel_aspect(stream.sample_aspect_ratio)
        step_s = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        timeline = PtsNormalizer(start_s, step_s, container.duration / av.time_base if container.duration else None)
        stamps = FramePts(container, stream)
        held: tuple[float, av.VideoFrame] | None = None
        index = 0
        for frame in decoded_frames(container, stream, name):
            assert isinstance(frame, av.VideoFrame)
            time_s = timeline.place(stamps.seconds(frame))
            if time_s is None:
                continue
            if held is not None:
                yield TimedFrame(index, held[0], time_s, held[1], aspect)
                index, step_s = index + 1, time_s - held[0]
            held = time_s, frame
        if held is None:
            raise UnreadableMedia(f"No picture in {name} could be decoded.")
        end_s = held[0] + _shown_s(held[1], step_s)
        yield TimedFrame(index, held[0], end_s, held[1], aspect)
        promised_s = promised_end_s(container, stream)
    if ends_early(end_s + start_s, promised_s):
        raise TruncatedMedia(f"The picture of {name} ends at {end_s:.1f} s of {promised_s:.1f} s.")


def _shown_s(frame: av.VideoFrame, step_s: float) -> float:
    """How long the last frame is shown: its own duration if it states a sane one, else that of the one before."""
    own_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    return own_s if 0.25 * step_s < own_s <= 1.0 else min(step_s, 1.0)


def iter_frames(path: str | Path, *, fps: float | None, size: Size | None, pixel: Pixel = "rgb24") -> Iterator[Frame]:
    """Frames at k/fps (the one shown then; the first also for any time before it), or each one of the file (fps=None).

    size: (width, height), None for the size as displayed. Errors as for `timed_frames`.
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
    """One decode, two looks: each frame (at most native_fps_max a second) small and gray, and the samples at `fps`.

    Sizes are (width, height); `size` may be a function of the size as displayed. A sample's image is scaled only when
    it is due. Errors as for `timed_frames`.
    """
    scale, scale_small = Scaler(size, pixel), Scaler(native_size, "gray")
    clock = _SampleClock(fps)
    for index, shown in enumerate(_thinned(timed_frames(path), native_fps_max)):
        times = clock.due(shown.end_s)
        image = scale(shown.frame, shown.aspect) if times else None
        sampled = tuple(Frame(i, time_s, image) for i, time_s in times if image is not None)
        yield NativeFrame(index, shown.time_s, scale_small(shown.frame), sampled)


class _SampleClock:
    """Hands out the sample times k/fps in order."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps or 1.0
        self._next = 0

    def due(self, end_s: float) -> list[tuple[int, float]]:
        """(index, time) of the samples not yet handed out that fall before `end_s`."""
        first = self._next
        while self._next / self._fps + ROUNDING_S < end_s:
            self._next += 1
        return [(k, k / self._fps) for k in range(first, self._next)]


def _thinned(frames: Iterator[TimedFrame], fps_max: float) -> Iterator[TimedFrame]:
    """At most fps_max frames a second; a frame that stays is shown until the next one that stays."""
    step_s = 1 / fps_max
    held: TimedFrame | None = None
    due_s = float("-inf")
    for shown in frames:
        if shown.time_s >= due_s - 0.25 * step_s:
            if held is not None:
                yield held
            held = shown
            due_s = max(due_s + step_s, shown.time_s + 0.5 * step_s) if due_s > float("-inf") else shown.time_s + step_s
        elif held is not None:
            held = replace(held, end_s=shown.end_s)
    if held is not None:
        yield held
