"""The source of a rendering: a dance's frames as 8-bit yuv420p, upright, even-sized, each with its time.

How each frame is brought into that form: shape.py. Sampling is the renderer's business.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mudar.errors import NoVideoStream, UnreadableMedia
from mudar.media.decode.demux import decoded_frames, packets
from mudar.media.decode.orientation import orientation
from mudar.media.decode.timestamps import FramePts, PtsNormalizer, promised_end_s, stream_start_s
from mudar.media.probe.container import open_media, read_only, video_stream
from mudar.media.render.filters import FilterGraph
from mudar.media.render.tonemap import USUAL_PEAK

if TYPE_CHECKING:
    from av.buffer import Buffer

Timed = tuple[float, av.VideoFrame]
"""A frame and its time in seconds since the file's time 0."""
STANDARD_RATES = tuple(Fraction(n, d) for n, d in ((24000, 1001), (30000, 1001), (60000, 1001)))
HIGHEST_RATE = Fraction(120)
SEEK_MARGIN_S = 1.0
MAX_THREADS = 8  # each holds frames of its own
HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}  # PQ and HLG: H.273 number to FFmpeg's name
BT709 = 1  # its number as primaries, transfer and matrix alike
SEEKS_WELL = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # with an index; others are read from their start
UNSAID = {0, 2}  # reserved, unspecified


@dataclass(frozen=True)
class VideoFormat:
    """How the frames will look: upright even size in pixels, rate, pixel shape, colour tags (ITU-T H.273 numbers).

    hdr: FFmpeg's name of the source's transfer where that is PQ or HLG, else empty; peak: its brightest, cd/m².
    """

    width: int
    height: int
    rate: Fraction
    pixel_aspect: Fraction
    primaries: int
    transfer: int
    matrix: int
    start_s: float
    duration_s: float
    hdr: str = ""
    peak: float = USUAL_PEAK
    bits: int = 8
    has_alpha: bool = False
    rotated: bool = False
    cropped: bool = False
    interlaced: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether the source is PQ or HLG."""
        return bool(self.hdr)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the output cannot keep of the source, in words for people."""
        hdr = "HDR was tone-mapped to the range and the colours of ordinary screens (BT.709, 8 bits)."
        deep = f"{self.bits} bits a channel became 8."
        return tuple(
            words
            for words, holds in (
                (hdr, self.is_hdr),
                (deep, self.bits > 8 and not self.is_hdr),
                ("Transparency was dropped.", self.has_alpha),
                ("The picture was turned upright.", self.rotated),
                ("Interlaced fields became whole frames.", self.interlaced),
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


def inspect_video(path: str | Path) -> VideoFormat:
    """What `frames` of this file will look like; NoVideoStream, UnreadableMedia."""
    name = Path(path).name
    origin = stream_start_s(path)
    with open_media(path) as container:
        stream = _stream(container)
        first = next(decoded_frames(container, stream, name), None)
        if not isinstance(first, av.VideoFrame):
            raise UnreadableMedia(f"No picture in {name} could be decoded.")
        orient = orientation(first)
        width, height = orient.stored((first.width, first.height))
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        primaries, transfer, matrix = _tags(stream, first)
        hdr = HDR_TRANSFERS.get(transfer, "")
        end_s = promised_end_s(container, stream)
        length_s = end_s - origin if end_s is not None else (container.duration or 0) / av.time_base
        rate = output_rate(stream.average_rate or stream.guessed_rate)
        return VideoFormat(
            width=max(2, width - width % 2),
            height=max(2, height - height % 2),
            rate=rate,
            pixel_aspect=1 / aspect if orient.transpose else aspect,
            primaries=BT709 if hdr else primaries,
            transfer=BT709 if hdr else transfer,
            matrix=BT709 if hdr or first.format.is_rgb else matrix,
            hdr=hdr,
            peak=_peak(first) if hdr == "smpte2084" else USUAL_PEAK,
            start_s=max(0.0, float(first.time or 0.0) - origin),
            duration_s=length_s or (1 + sum(1 for _ in packets(container, stream))) / float(rate),
            bits=max((part.bits for part in first.format.components), default=8),
            has_alpha=any(p.is_alpha for p in first.format.components) or stream.metadata.get("alpha_mode") == "1",
            rotated=orient.transpose or orient.flip_x or orient.flip_y,
            cropped=bool(width % 2 or height % 2),
            interlaced=bool(first.interlaced_frame),
        )


def _tags(stream: VideoStream, first: av.VideoFrame) -> tuple[int, int, int]:
    """(primaries, transfer, matrix) as the first frame says, where it is silent as the stream does."""
    coded = stream.codec_context
    said = (
        (first.color_primaries, coded.color_primaries),
        (first.color_trc, coded.color_trc),
        (first.colorspace, coded.colorspace),
    )
    return tuple(next((int(n) for n in pair if int(n) not in UNSAID), 2) for pair in said)  # type: ignore[return-value]


def _peak(first: av.VideoFrame) -> float:
    """MaxCLL, the brightest pixel of the master in cd/m², where the file states a sane one."""
    stated = first.side_data.get("CONTENT_LIGHT_LEVEL")
    brightest = struct.unpack("I", bytes(cast("Buffer", stated))[:4])[0] if stated is not None else 0
    return float(brightest) if 100 <= brightest <= 10_000 else USUAL_PEAK


def frames(path: str | Path, wanted: VideoFormat, from_s: float = 0.0) -> Iterator[Timed]:
    """(seconds on the file's clock, frame), ascending, from a frame at or before `from_s` on.

    Each has wanted.width x wanted.height, yuv420p. Held in memory: one frame.
    """
    origin = stream_start_s(path)
    with open_media(path) as container:
        stream = _stream(container)
        if from_s > 2 * SEEK_MARGIN_S and stream.time_base and container.format.name in SEEKS_WELL:
            target = int((from_s - SEEK_MARGIN_S + origin) / stream.time_base)
            container.seek(target, stream=stream, backward=True)
        length_s = container.duration / av.time_base if container.duration else None
        timeline, stamps = PtsNormalizer(origin, float(1 / wanted.rate), length_s), FramePts(container, stream)
        shaper: FilterGraph | None = None
        for frame in decoded_frames(container, stream, Path(path).name):
            assert isinstance(frame, av.VideoFrame)
            time_s = timeline.place(stamps.seconds(frame))
            if time_s is None:
                continue
            if shaper is None or not shaper.takes(frame):
                yield from shaper.rest() if shaper is not None else ()
                shaper = FilterGraph(frame, wanted)
            yield from shaper.shaped(time_s, frame)
        yield from shaper.rest() if shaper is not None else ()


def _stream(container: InputContainer) -> VideoStream:
    stream = video_stream(container)
    if stream is None:
        raise NoVideoStream()
    read_only(container, stream)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_THREADS)
    return stream
