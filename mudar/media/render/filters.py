"""One decoded frame after another into what the renderer takes: upright, whole, 8-bit 4:2:0, limited range, even-sized.

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
from typing import TYPE_CHECKING, cast

import av

from mudar.media.decode.orientation import Orientation, orientation
from mudar.media.render import tonemap

if TYPE_CHECKING:
    from mudar.media.render.source import Timed, VideoFormat

Step = tuple[str, str]
"""A filter's name and arguments."""
TICK = Fraction(1, 1000)
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
WEAVE = ("bwdif", "mode=send_frame:deint=interlaced")


class FilterGraph:
    """Turns frames of one kind upright, 8-bit, limited-range, even-sized, whole; plain ones pass untouched."""

    def __init__(self, first: av.VideoFrame, wanted: VideoFormat) -> None:
        self._kind = _kind(first)
        self._deinterlaces = bool(first.interlaced_frame)
        whole = [WEAVE] if self._deinterlaces else []
        steps = [*whole, *_turns(orientation(first)), *_sizes(first, wanted)]
        self._graph = _colours(first, wanted, steps)
        self._pushed = 0
        self._times_s: deque[float] = deque()  # of frames that the graph still holds: a deinterlacer looks ahead

    def takes(self, frame: av.VideoFrame) -> bool:
        """Whether the frame is of the kind this was made for; size or format may change in mid-stream."""
        return _kind(frame) == self._kind and (self._deinterlaces or not frame.interlaced_frame)

    def shaped(self, time_s: float, frame: av.VideoFrame) -> Iterator[Timed]:
        """The frames that are ready, as the renderer wants them, each with its own time."""
        if self._graph is None:
            yield time_s, frame
            return
        self._times_s.append(time_s)
        frame.pts, frame.time_base = self._pushed, TICK  # some filters want stamps, and some files have none
        self._pushed += 1
        self._graph.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[Timed]:
        """What is still held."""
        if self._graph is not None and self._times_s:
            self._graph.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[Timed]:
        while self._graph is not None and self._times_s:
            try:
                made = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            yield self._times_s.popleft(), cast("av.VideoFrame", made)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _colours(first: av.VideoFrame, wanted: VideoFormat, steps: list[Step]) -> av.filter.Graph | None:
    """The graph of these steps that ends in 8-bit 4:2:0; None where there is nothing to do."""
    if wanted.hdr:
        with _table(wanted) as table:
            return _graph(first, [*steps, *_tone(first, table), ("format", "yuv420p")])
    steps = [*steps, *_ranges(first)]
    return _graph(first, [*steps, ("format", "yuv420p")]) if steps or first.format.name != "yuv420p" else None


def _graph(first: av.VideoFrame, steps: list[Step]) -> av.filter.Graph:
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=TICK),
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


def _sizes(first: av.VideoFrame, wanted: VideoFormat) -> Iterator[Step]:
    """Crop the odd row and column; a stream that changed its size is fitted into what it began with."""
    width, height = orientation(first).stored((first.width, first.height))
    if (width, height) == (wanted.width, wanted.height):
        return
    size = f"{wanted.width}:{wanted.height}"
    if (width - width % 2, height - height % 2) == (wanted.width, wanted.height):
        yield "crop", f"{size}:0:0"
    else:
        yield "scale", f"{size}:force_original_aspect_ratio=decrease:force_divisible_by=2"
        yield "pad", f"{size}:-1:-1"


def _ranges(first: av.VideoFrame) -> Iterator[Step]:
    if first.format.is_rgb:
        yield "scale", "out_color_matrix=bt709:out_range=limited"
        return
    if first.format.name.startswith("yuvj") or int(first.color_range) == FULL_RANGE:
        yield "scale", "in_range=full:out_range=limited"


def _tone(first: av.VideoFrame, table: str) -> Iterator[Step]:
    """From PQ or HLG in BT.2020 to BT.709, by the table (tone.py) in the file of this name."""
    full = "full" if int(first.color_range) == FULL_RANGE else "limited"
    yield "scale", f"in_color_matrix=bt2020:in_range={full}"
    yield "format", "gbrp10le"
    yield "lut3d", f"file={table}:interp=tetrahedral"
    yield "scale", "out_color_matrix=bt709:out_range=limited"


@contextmanager
def _table(wanted: VideoFormat) -> Iterator[str]:
    """A file with the table, for as long as it takes to read it; its name as filters want it."""
    with tempfile.TemporaryDirectory(prefix="mudar-tone-") as folder:
        path = Path(folder) / "tone.cube"
        path.write_text(tonemap.cube(wanted.hdr, wanted.peak))
        yield re.sub(r"([\\':])", r"\\\1", str(path))
