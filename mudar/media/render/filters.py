"""Filters decoded frames to what the renderer takes: upright, deinterlaced, 8-bit 4:2:0, limited range, even-sized.

Plain frames pass untouched, as decoded; only others go through a filter graph. That names matrix, range, primaries and
transfer at both ends: where one is left out, FFmpeg converts by BT.601's matrix. Knows no files and no time map.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from mudar.media.decode.orientation import Orientation, orientation
from mudar.media.render import tonemap
from mudar.media.render.format import BT709, UNSAID, SourceFrame, VideoFormat

Step = tuple[str, str]
"""A filter's name and arguments."""
TICK = Fraction(1, 1000)
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
MATRICES = {1, 4, 5, 6, 7, 9}  # that swscale converts from and to, by their numbers of H.273
YUV420P = ("format", "yuv420p")
DEINTERLACE = ("bwdif", "mode=send_frame:deint=interlaced")


class FilterGraph:
    """Filters frames of one size and pixel format to the output's; frames that already are so pass untouched."""

    def __init__(self, first: av.VideoFrame, form: VideoFormat) -> None:
        self._kind = _kind(first)
        self._deinterlaces = bool(first.interlaced_frame)
        self._graph = _make_graph(first, form, [DEINTERLACE] if self._deinterlaces else [])
        self._pushed = 0
        self._times_s: deque[float] = deque()  # of frames that the graph still buffers: a deinterlacer looks ahead

    def accepts(self, frame: av.VideoFrame) -> bool:
        """Tells whether this was made for frames of this size and format, which may change in mid-stream."""
        return _kind(frame) == self._kind and (self._deinterlaces or not frame.interlaced_frame)

    def filter(self, time_s: float, frame: av.VideoFrame) -> Iterator[SourceFrame]:
        """Filters one more frame; yields those that are ready, each with its own time."""
        if self._graph is None:
            yield SourceFrame(time_s, frame)
            return
        self._times_s.append(time_s)
        frame.pts, frame.time_base = self._pushed, TICK  # some filters want stamps, and some files have none
        self._pushed += 1
        self._graph.push(frame)
        yield from self._pull()

    def flush(self) -> Iterator[SourceFrame]:
        """Yields the frames that are still buffered."""
        if self._graph is not None and self._times_s:
            self._graph.push(None)
            yield from self._pull()

    def _pull(self) -> Iterator[SourceFrame]:
        while self._graph is not None and self._times_s:
            try:
                filtered = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            yield SourceFrame(self._times_s.popleft(), cast("av.VideoFrame", filtered))


def _kind(frame: av.VideoFrame) -> tuple[object, ...]:
    return frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range)


def _make_graph(first: av.VideoFrame, form: VideoFormat, before: list[Step]) -> av.filter.Graph | None:
    """Links a graph that ends in upright 8-bit 4:2:0; None where there is nothing to do."""
    after = [*_orientation_steps(orientation(first)), *_size_steps(first, form)]
    if form.hdr:
        with _lut_file(form) as lut:
            return _link(first, [*before, *_tonemap_steps(first, lut), YUV420P, *after])
    converted = [*_color_steps(first, form), YUV420P] if _must_convert(first, form) else []
    steps = [*before, *converted, *after]
    return _link(first, [*steps, YUV420P]) if steps else None


def _link(first: av.VideoFrame, steps: list[Step]) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = (
        f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:time_base={TICK}:pixel_aspect=1/1"
        f":colorspace={int(first.colorspace)}:range={int(first.color_range)}"
    )
    nodes = [
        graph.add("buffer", source),
        *(graph.add(name, arguments) for name, arguments in steps),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def _orientation_steps(orient: Orientation) -> Iterator[Step]:
    if orient.transpose:
        yield "transpose", "cclock_flip"  # FFmpeg's name for the plain transpose
    if orient.flip_x:
        yield "hflip", ""
    if orient.flip_y:
        yield "vflip", ""


def _size_steps(first: av.VideoFrame, form: VideoFormat) -> Iterator[Step]:
    """Crops the odd row and column; a stream that changed its size is fitted into the size that it began with."""
    width, height = orientation(first).stored((first.width, first.height))
    if (width, height) == (form.width, form.height):
        return
    size = f"{form.width}:{form.height}"
    if (width - width % 2, height - height % 2) == (form.width, form.height):
        yield "crop", f"{size}:0:0"
    else:
        yield "scale", f"{size}:force_original_aspect_ratio=decrease:force_divisible_by=2"
        yield "pad", f"{size}:-1:-1"


def _is_full_range(frame: av.VideoFrame) -> bool:
    return frame.format.name.startswith("yuvj") or int(frame.color_range) == FULL_RANGE


def _matrices(frame: av.VideoFrame, form: VideoFormat) -> tuple[int, int]:
    """Returns the matrix of a frame and that of the output; the same where a frame is silent or swscale knows not."""
    source = form.matrix if frame.format.is_rgb or int(frame.colorspace) in UNSAID else int(frame.colorspace)
    return (source, form.matrix) if {source, form.matrix} <= MATRICES else (BT709, BT709)


def _must_convert(frame: av.VideoFrame, form: VideoFormat) -> bool:
    source, target = _matrices(frame, form)
    return frame.format.name != "yuv420p" or _is_full_range(frame) or source != target


def _color_steps(frame: av.VideoFrame, form: VideoFormat) -> Iterator[Step]:
    """Converts to the output's matrix and to limited range; primaries and transfer stay as they are."""
    source, target = _matrices(frame, form)
    primaries, transfer = form.primaries, form.transfer
    in_range = "full" if frame.format.is_rgb or _is_full_range(frame) else "limited"
    yield (
        "scale",
        f"in_color_matrix={source}:out_color_matrix={target}:in_range={in_range}:out_range=limited"
        f":in_primaries={primaries}:out_primaries={primaries}:in_transfer={transfer}:out_transfer={transfer}"
        ":flags=bicubic+accurate_rnd+full_chroma_int",
    )


def _tonemap_steps(first: av.VideoFrame, lut: str) -> Iterator[Step]:
    """Converts PQ or HLG in BT.2020 to BT.709 by the lookup table (tonemap.py) in this file."""
    full = "full" if _is_full_range(first) else "limited"
    yield "scale", f"in_color_matrix=bt2020:in_range={full}"
    yield "format", "gbrp10le"
    yield "lut3d", f"file={lut}:interp=tetrahedral"
    yield "scale", "out_color_matrix=bt709:out_range=limited"


@contextmanager
def _lut_file(form: VideoFormat) -> Iterator[str]:
    """Writes the lookup table to a temporary file; gives its name as filters want it."""
    with tempfile.TemporaryDirectory(prefix="mudar-tone-") as folder:
        path = Path(folder) / "tone.cube"
        path.write_text(tonemap.cube(form.hdr, form.peak))
        yield re.sub(r"([\\':])", r"\\\1", str(path))
