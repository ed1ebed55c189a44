"""Filters decoded frames to what the renderer takes: upright, deinterlaced, 8-bit 4:2:0, limited range, even-sized.

Plain frames pass untouched, as decoded; only others go through a filter graph. Knows no files and no time map.
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
from mudar.media.render.format import SourceFrame, VideoFormat

Step = tuple[str, str]
"""A filter's name and arguments."""
TICK = Fraction(1, 1000)
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
DEINTERLACE = ("bwdif", "mode=send_frame:deint=interlaced")


class FilterGraph:
    """Filters frames of one size and pixel format to the output's; frames that already are so pass untouched."""

    def __init__(self, first: av.VideoFrame, form: VideoFormat) -> None:
        self._kind = _kind(first)
        self._deinterlaces = bool(first.interlaced_frame)
        deinterlace = [DEINTERLACE] if self._deinterlaces else []
        steps = [*deinterlace, *_orientation_steps(orientation(first)), *_size_steps(first, form)]
        self._graph = _make_graph(first, form, steps)
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


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _make_graph(first: av.VideoFrame, form: VideoFormat, steps: list[Step]) -> av.filter.Graph | None:
    """Links these steps to a graph that ends in 8-bit 4:2:0; None where there is nothing to do."""
    if form.hdr:
        with _lut_file(form) as lut:
            return _link(first, [*steps, *_tonemap_steps(first, lut), ("format", "yuv420p")])
    steps = [*steps, *_range_steps(first)]
    return _link(first, [*steps, ("format", "yuv420p")]) if steps or first.format.name != "yuv420p" else None


def _link(first: av.VideoFrame, steps: list[Step]) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=TICK),
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


def _range_steps(first: av.VideoFrame) -> Iterator[Step]:
    if first.format.is_rgb:
        yield "scale", "out_color_matrix=bt709:out_range=limited"
        return
    if first.format.name.startswith("yuvj") or int(first.color_range) == FULL_RANGE:
        yield "scale", "in_range=full:out_range=limited"


def _tonemap_steps(first: av.VideoFrame, lut: str) -> Iterator[Step]:
    """Converts PQ or HLG in BT.2020 to BT.709 by the lookup table (tonemap.py) in this file."""
    full = "full" if int(first.color_range) == FULL_RANGE else "limited"
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
