"""Frames between frames by moving pixels: DIS flow both ways, both frames warped to the moment, doubt where they clash.

The flow at the moment s is taken from both flows as in Super SloMo (Jiang et al. 2018, eq. 4):
F(s->0) = -(1-s) s F01 + s² F10, F(s->1) = (1-s)² F01 - s (1-s) F10. Where the flows contradict each other the nearest
frame shows through; where they do so over much of the picture, the nearest frame is shown whole.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolate import Plane, blank, is_cut, planes

cv: Any = cv2  # its type stubs lack None for maps and know no DIS

Flow = NDArray[np.float32]  # (h, w, 2) pixels, right and down
FLOW_HEIGHT_PX = 288  # shorter side of the picture that flow is computed on: finer changes little and costs much
TOLERANCE_PX = 1.0  # of the small picture; plus a share of the motion itself
TOLERANCE_SHARE = 0.1
HOPELESS = 0.3  # share of contradicted pixels above which the pair is not interpolated


class FlowBetween:
    """Motion-compensated frames; one DIS instance a thread."""

    workers = 2

    def __init__(self) -> None:
        self._own = threading.local()

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """A frame at each share; all None across a cut or where the flow cannot be trusted."""
        if is_cut(first, second):
            return [None] * len(shares)
        forth, back = self._flows(planes(first)[0], planes(second)[0])
        doubt = np.maximum(_contradiction(forth, back), _contradiction(back, forth))
        if float(doubt.mean()) > HOPELESS:
            return [None] * len(shares)
        doubt = cv.GaussianBlur(cv.dilate(doubt, np.ones((3, 3), np.uint8)), (5, 5), 0)
        return [self._made(first, second, _Moment(forth, back, doubt, share, self._own.buffers)) for share in shares]

    def _made(self, first: av.VideoFrame, second: av.VideoFrame, moment: _Moment) -> av.VideoFrame:
        made = blank(first)
        for a, b, out in zip(planes(first), planes(second), planes(made), strict=True):
            moment.mix(a, b, out)
        return made

    def _flows(self, first: Plane, second: Plane) -> tuple[Flow, Flow]:
        if not hasattr(self._own, "dis"):
            self._own.dis = cv.DISOpticalFlow_create(cv.DISOPTICAL_FLOW_PRESET_FAST)
            self._own.buffers = _Buffers()
        scale = min(1.0, FLOW_HEIGHT_PX / min(first.shape))
        size = round(first.shape[1] * scale), round(first.shape[0] * scale)
        a, b = (cv.resize(x, size, interpolation=cv.INTER_AREA) for x in (first, second))
        dis = self._own.dis
        return dis.calc(a, b, None), dis.calc(b, a, None)


def _contradiction(there: Flow, back: Flow) -> NDArray[np.float32]:
    """(h/2, w/2) 1 where going there and back again misses the start, else 0; every second pixel is enough."""
    grid = _grid(there.shape[1], there.shape[0])[::2, ::2]
    there = np.ascontiguousarray(there[::2, ::2])
    returned = cv.remap(back, cv.add(grid, there), None, cv.INTER_LINEAR, borderMode=cv.BORDER_REPLICATE)
    miss, moved = _length(cv.add(there, returned)), _length(there)
    bad = cv.compare(miss, cv.addWeighted(moved, TOLERANCE_SHARE, moved, 0.0, TOLERANCE_PX), cv.CMP_GT)
    return cast("NDArray[np.float32]", bad.astype(np.float32) / np.float32(255))


def _length(flow: Flow) -> NDArray[np.float32]:
    u, v = cv.split(flow)
    return cast("NDArray[np.float32]", cv.magnitude(u, v))


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> Flow:
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=2)


class _Buffers:
    """Large arrays that are used again: fresh ones cost more in page faults than the arithmetic in them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[int, ...]], NDArray[np.float32] | Plane] = {}

    def floats(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array of this name and shape, with whatever is in it."""
        return cast("NDArray[np.float32]", self._kept.setdefault((name, shape), np.empty(shape, np.float32)))

    def bytes(self, name: str, shape: tuple[int, ...]) -> Plane:
        """The same for uint8."""
        return cast(Plane, self._kept.setdefault((name, shape), np.empty(shape, np.uint8)))


class _Moment:
    """The moment s between two frames: moves planes of any size to it."""

    def __init__(self, forth: Flow, back: Flow, doubt: NDArray[np.float32], s: float, buffers: _Buffers) -> None:
        self._to_first = cv.addWeighted(forth, -(1 - s) * s, back, s * s, 0.0)
        self._to_second = cv.addWeighted(forth, (1 - s) * (1 - s), back, -s * (1 - s), 0.0)
        self._doubt, self._s, self._buffers = doubt, s, buffers
        self._veiled = bool(doubt.any())
        self._shape: tuple[int, ...] = ()

    def mix(self, a: Plane, b: Plane, out: Plane) -> None:
        """Fill `out`, (height, width) like `a` and `b`. Planes of one size should come one after the other."""
        if a.shape != self._shape:
            self._shape = a.shape
            self._from_a = self._positions("a", self._to_first)
            self._from_b = self._positions("b", self._to_second)
        moved_a, moved_b = self._moved("moved_a", a, self._from_a), self._moved("moved_b", b, self._from_b)
        cv.addWeighted(moved_a, 1 - self._s, moved_b, self._s, 0.0, dst=out)
        if self._veiled:
            self._veil(a if self._s < 0.5 else b, out)

    def _veil(self, nearest: Plane, out: Plane) -> None:
        veil = cv.resize(self._doubt, self._shape[::-1], dst=self._buffers.floats("veil", self._shape))
        rest = cv.subtract(1.0, veil, dst=self._buffers.floats("rest", self._shape))
        cv.blendLinear(nearest, out, veil, rest, dst=out)

    def _moved(self, name: str, plane: Plane, positions: Flow) -> Plane:
        into = self._buffers.bytes(name, self._shape)
        return cast(Plane, cv.remap(plane, positions, None, cv.INTER_LINEAR, dst=into, borderMode=cv.BORDER_REPLICATE))

    def _positions(self, name: str, flow: Flow) -> Flow:
        height, width = self._shape
        scaled = flow * np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        positions = self._buffers.floats(name, (height, width, 2))
        cv.resize(scaled, (width, height), dst=positions)
        cv.add(positions, _grid(width, height), dst=positions)
        return positions
