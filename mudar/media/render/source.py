"""Reads the source of a rendering: a dance's frames as 8-bit yuv420p, upright, even-sized, each with its time.

How each frame is brought into that form: filters.py. Sampling is resample.py's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.video.stream import VideoStream

from mudar.errors import UnreadableMedia
from mudar.media.decode.container import decoded_frames, length_s, may_restart, open_media, packets, select_video
from mudar.media.decode.orientation import orientation
from mudar.media.decode.timestamps import frames_on_clock, measured_end_s, promised_end_s, stream_start_s
from mudar.media.probe.streams import HDR_TRANSFERS, has_alpha
from mudar.media.render.filters import FilterGraph
from mudar.media.render.format import BT709, UNSAID, UNSPECIFIED, USUAL_PEAK, SourceFrame, VideoFormat, output_rate

if TYPE_CHECKING:
    from av.buffer import Buffer

SEEK_MARGIN_S = 1.0
SEEKS_WELL = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}  # with an index; others are read from their start


def inspect_video(path: str | Path) -> VideoFormat:
    """Decodes the first frame to find what `frames` of this file will be like; NoVideoStream, UnreadableMedia."""
    name = Path(path).name
    file_start_s = stream_start_s(path)
    with open_media(path) as container:
        stream = select_video(container, name)
        first = next(decoded_frames(container, stream, name), None)
        if not isinstance(first, av.VideoFrame):
            raise UnreadableMedia(f"No picture in {name} could be decoded.")
        orient = orientation(first)
        width, height = orient.stored((first.width, first.height))
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        primaries, transfer, matrix = _color_tags(stream, first)
        hdr = HDR_TRANSFERS.get(transfer, "")
        end_s = promised_end_s(container, stream)
        stated_s = end_s - file_start_s if end_s is not None else length_s(container)
        if may_restart(container):
            stated_s = measured_end_s(path, "video") - file_start_s
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
            peak=_brightest(first) if hdr == "smpte2084" else USUAL_PEAK,
            start_s=max(0.0, float(first.time or 0.0) - file_start_s),
            duration_s=stated_s or (1 + sum(1 for _ in packets(container, stream))) / float(rate),
            bits=max((part.bits for part in first.format.components), default=8),
            has_alpha=has_alpha(stream, first),
            rotated=orient.transpose or orient.flip_x or orient.flip_y,
            cropped=bool(width % 2 or height % 2),
            interlaced=bool(first.interlaced_frame),
        )


def _color_tags(stream: VideoStream, first: av.VideoFrame) -> tuple[int, int, int]:
    """Reads (primaries, transfer, matrix) of the first frame, where it is silent of the stream."""
    coded = stream.codec_context
    tags = (
        (first.color_primaries, coded.color_primaries),
        (first.color_trc, coded.color_trc),
        (first.colorspace, coded.colorspace),
    )
    return tuple(next((int(n) for n in pair if int(n) not in UNSAID), UNSPECIFIED) for pair in tags)  # type: ignore[return-value]


def _brightest(first: av.VideoFrame) -> float:
    """Reads MaxCLL, the brightest pixel of the master in cd/m², where the file states a sane one."""
    stated = first.side_data.get("CONTENT_LIGHT_LEVEL")
    brightest = struct.unpack("I", bytes(cast("Buffer", stated))[:4])[0] if stated is not None else 0
    return float(brightest) if 100 <= brightest <= 10_000 else USUAL_PEAK


def frames(path: str | Path, form: VideoFormat, from_s: float = 0.0) -> Iterator[SourceFrame]:
    """Decodes frames of form.width x form.height, yuv420p, ascending, from a frame at or before `from_s` on.

    One frame is in memory at a time.
    """
    start_s = stream_start_s(path)
    name = Path(path).name
    with open_media(path) as container:
        stream = select_video(container, name)
        if from_s > 2 * SEEK_MARGIN_S and stream.time_base and container.format.name in SEEKS_WELL:
            target = int((from_s - SEEK_MARGIN_S + start_s) / stream.time_base)
            container.seek(target, stream=stream, backward=True)
        graph: FilterGraph | None = None
        for time_s, frame in frames_on_clock(container, stream, name, start_s, float(1 / form.rate)):
            if graph is None or not graph.accepts(frame):
                yield from graph.flush() if graph is not None else ()
                graph = FilterGraph(frame, form)
            yield from graph.filter(time_s, frame)
        yield from graph.flush() if graph is not None else ()
