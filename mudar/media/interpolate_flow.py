"""Frames between frames by moving pixels: DIS flow both ways, both frames warped to the moment, doubt where they differ.

The flow at the moment s is taken from both flows as in Super SloMo (Jiang et al. 2018, eq. 4):
F(s->0) = -(1-s) s F01 + s² F10, F(s->1) = (1-s)² F01 - s (1-s) F10. Where the flows contradict each other the nearest
frame shows through; where they do so over much of the picture, the nearest frame is shown whole.
"""

from __future__ import annotations

import threading
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolate import Plane, blank, is_cut, planes

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
        doubt = cv2.GaussianBlur(cv2.dilate(doubt, np.ones((5, 5), np.uint8)), (7, 7), 0)
        return [_at(first, second, forth, back, doubt, share) for share in shares]

    def _flows(self, first: Plane, second: Plane) -> tuple[Flow, Flow]:
        if not hasattr(self._own, "dis"):
            self._own.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        scale = min(1.0, FLOW_HEIGHT_PX / min(first.shape))
        size = round(first.shape[1] * scale), round(first.shape[0] * scale)
        a, b = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (first, second))
        dis = self._own.dis
        return dis.calc(a, b, None), dis.calc(b, a, None)


def _contradiction(there: Flow, back: Flow) -> NDArray[np.float32]:
    """(h, w) 1 where going there and back again misses the start, else 0."""
    grid = _grid(there.shape[1], there.shape[0])
    returned = cv2.remap(back, grid + there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = np.abs(there + returned).sum(axis=2)
    return (miss > TOLERANCE_PX + TOLERANCE_SHARE * np.abs(there).sum(axis=2)).astype(np.float32)


def _at(first: av.VideoFrame, second: av.VideoFrame, forth: Flow, back: Flow, doubt: Plane, s: float) -> av.VideoFrame:
    made = blank(first)
    to_first = -(1 - s) * s * forth + s * s * back
    to_second = (1 - s) * (1 - s) * forth - s * (1 - s) * back
    maps: dict[tuple[int, ...], tuple[tuple[Plane, Plane], tuple[Plane, Plane], Plane]] = {}
    for a, b, out in zip(planes(first), planes(second), planes(made), strict=True):
        if a.shape not in maps:
            maps[a.shape] = (_map(to_first, a.shape), _map(to_second, a.shape), cv2.resize(doubt, a.shape[::-1]))
        from_a, from_b, veil = maps[a.shape]
        moved_a, moved_b = (
            cv2.remap(x, *m, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for x, m in ((a, from_a), (b, from_b))
        )
        mixed = cv2.addWeighted(moved_a, 1 - s, moved_b, s, 0.0)
        nearest = a if s < 0.5 else b
        cv2.blendLinear(nearest, mixed, veil, 1 - veil, dst=out)
    return made


def _map(flow: Flow, shape: tuple[int, ...]) -> tuple[Plane, Plane]:
    """Fixed-point sampling positions for a plane of this (height, width), from a flow of another size."""
    height, width = shape
    scaled = cv2.resize(flow, (width, height)) * np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    positions = scaled + _grid(width, height)
    return cast("tuple[Plane, Plane]", cv2.convertMaps(positions, None, cv2.CV_16SC2))


def _grid(width: int, height: int) -> Flow:
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=2)
