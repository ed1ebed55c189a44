"""The source of a rendering: a dance's frames as 8-bit yuv420p, upright, even-sized, each with its time.

Plain frames pass untouched, as decoded; only others go through a filter graph. Sampling is the renderer's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mudar.errors import NoVideoStream, UnreadableMedia
from mudar.media.clock import Timeline, origin_s, promised_end_s
from mudar.media.container import open_media, read_only, video_stream
from mudar.media.orientation import Orientation, orientation
from mudar.media.packets import decoded_frames

Step = tuple[str, str]
"""A filter's name and arguments."""
Timed = tuple[float, av.VideoFrame]
"""A frame and its time in seconds since the file's time 0."""
STANDARD_RATES = tuple(Fraction(n, d) for n, d in ((24000, 1001), (30000, 1001), (60000, 1001)))
HIGHEST_RATE = Fraction(120)
SEEK_MARGIN_S = 1.0
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
HDR_TRANSFERS = {16, 18}  # SMPTE 2084 (PQ), ARIB B67 (HLG)


@dataclass(frozen=True)
class Look:
    """How the frames will look: upright even size in pixels, rate, pixel shape, colour tags (ITU-T H.273 numbers)."""

    width: int
    height: int
    rate: Fraction
    pixel_aspect: Fraction
    primaries: int
    transfer: int
    matrix: int
    is_hdr: bool
    start_s: float
    duration_s: float
    bits: int = 8
    has_alpha: bool = False
    rotated: bool = False
    cropped: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the output cannot keep of the source, in words for people."""
        hdr = "HDR is written with 8 bits and keeps its colour tags; it is not tone-mapped."
        deep = f"{self.bits} bits a channel became 8."
        return tuple(
            words
            for words, holds in (
                (hdr, self.is_hdr),
                (deep, self.bits > 8 and not self.is_hdr),
                ("Transparency was dropped.", self.has_alpha),
                ("The picture was turned upright.", self.rotated),
                ("An odd row or column was cropped.", self.cropped),
            )
            if holds
        )


def output_rate(average: Fraction | None) -> Fraction:
    """The constant rate for a source of this average rate: itself if (nearly) a standard rate, else rounded."""
    if not average or average <= 0:
        return Fraction(30)
    for standard in STANDARD_RATES:
        if abs(average / standard - 1) < Fraction(1, 2000):
            return standard
    return min(max(Fraction(round(average)), Fraction(1)), HIGHEST_RATE)


def look(path: str | Path) -> Look:
    """What `frames` of this file will look like; NoVideoStream, UnreadableMedia."""
    name = Path(path).name
    origin = origin_s(path)
    with open_media(path) as container:
        stream = _stream(container)
        first = next(decoded_frames(container, stream, name), None)
        if not isinstance(first, av.VideoFrame):
            raise UnreadableMedia(f"No picture in {name} could be decoded.")
        orient = orientation(first)
        width, height = orient.stored((first.width, first.height))
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        coded = stream.codec_context
        end_s = promised_end_s(container, stream)
        length_s = end_s - origin if end_s is not None else (container.duration or 0) / av.time_base
        return Look(
            width=max(2, width - width % 2),
            height=max(2, height - height % 2),
            rate=output_rate(stream.average_rate or stream.guessed_rate),
            pixel_aspect=1 / aspect if orient.transpose else aspect,
            primaries=int(coded.color_primaries),
            transfer=int(coded.color_trc),
            matrix=int(coded.colorspace),
            is_hdr=int(coded.color_trc) in HDR_TRANSFERS,
            start_s=max(0.0, float(first.time or 0.0) - origin),
            duration_s=length_s,
            bits=max((part.bits for part in first.format.components), default=8),
            has_alpha=any(part.is_alpha for part in first.format.components),
            rotated=orient.transpose or orient.flip_x or orient.flip_y,
            cropped=bool(width % 2 or height % 2),
        )


def frames(path: str | Path, wanted: Look, from_s: float = 0.0) -> Iterator[Timed]:
    """(seconds on the file's clock, frame), ascending, from a frame at or before `from_s` on.

    Each has wanted.width x wanted.height, yuv420p. Held in memory: one frame.
    """
    origin = origin_s(path)
    with open_media(path) as container:
        stream = _stream(container)
        if from_s > 2 * SEEK_MARGIN_S and stream.time_base:
            target = int((from_s - SEEK_MARGIN_S + origin) / stream.time_base)
            container.seek(target, stream=stream, backward=True)
        length_s = container.duration / av.time_base if container.duration else None
        timeline = Timeline(origin, float(1 / wanted.rate), length_s)
        shaper: Shaper | None = None
        for frame in decoded_frames(container, stream, Path(path).name):
            assert isinstance(frame, av.VideoFrame)
            time_s = timeline.place(frame.time)
            if time_s is None:
                continue
            if shaper is None or not shaper.takes(frame):
                shaper = Shaper(frame, wanted)
            yield time_s, shaper(frame)


class Shaper:
    """Turns frames of one kind upright, 8-bit, limited-range, even-sized; plain ones pass untouched."""

    def __init__(self, first: av.VideoFrame, wanted: Look) -> None:
        self._kind = _kind(first)
        steps = [*_turns(orientation(first)), *_sizes(first, wanted), *_ranges(first)]
        plain = not steps and first.format.name == "yuv420p"
        self._graph = None if plain else _graph(first, [*steps, ("format", "yuv420p")])

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether the frame is of the kind this was made for; size or format may change in mid-stream."""
        return _kind(frame) == self._kind

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as the renderer wants it."""
        if self._graph is None:
            return frame
        self._graph.push(frame)
        return cast("av.VideoFrame", self._graph.pull())


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _graph(first: av.VideoFrame, steps: list[Step]) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base or Fraction(1, 1000)
        ),
        *(graph.add(name, arguments) for name, arguments in steps),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def _turns(orient: Orientation) -> Iterator[Step]:
    if orient.transpose:
        yield "transpose", "cclock_flip"  # FFmpeg's name for the plain transpose
    if orient.flip_x:
        yield "hflip", ""
    if orient.flip_y:
        yield "vflip", ""


def _sizes(first: av.VideoFrame, wanted: Look) -> Iterator[Step]:
    """Crop the odd row and column; a stream that changed its size is scaled to what it began with."""
    width, height = orientation(first).stored((first.width, first.height))
    if (width, height) == (wanted.width, wanted.height):
        return
    cropped = (width - width % 2, height - height % 2) == (wanted.width, wanted.height)
    yield ("crop", f"{wanted.width}:{wanted.height}:0:0") if cropped else ("scale", f"{wanted.width}:{wanted.height}")


def _ranges(first: av.VideoFrame) -> Iterator[Step]:
    if first.format.name.startswith("yuvj") or int(first.color_range) == FULL_RANGE:
        yield "scale", "in_range=full:out_range=limited"


def _stream(container: InputContainer) -> VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise NoVideoStream()
    read_only(container, stream)
    stream.thread_type = "AUTO"
    return stream
