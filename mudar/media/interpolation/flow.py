"""Interpolates frames by moving pixels: optical flow on small pictures, by which both frames are warped to a moment.

The flow comes from an estimator: DIS (dense inverse search, Kroeger et al. 2016) here, PWC-Net on a GPU (pwc.py).
What moves where at the moment is decided on their grid (fusion.py); this file does the large picture.
Only the part of it that moves is warped; the rest is cross-faded, which costs a tenth.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.cuts import warp
from mudar.media.interpolation.fusion import Flow, FlowFusion, FlowPair, IntermediateFlow
from mudar.media.interpolation.yuv import Plane, empty_like, planes

if TYPE_CHECKING:
    import av

cv: Any = cv2  # its stubs lack None for maps and know no DIS

CELL = 2  # pixels of the small picture to one of the grid: DIS at its scale 1 knows no finer ones
SMALLEST_PX, LARGEST_PX = 112, 208  # shorter side of the small picture: half of the large one's, within these
MOVES = 0.3  # pixels of the large picture below which nothing moves
MARGIN = 2  # cells around what moves, so that the warped part ends in rest


class PairFlow(Protocol):
    """Estimates the flow between two frames, both ways. Safe in threads."""

    workers: int
    notes: tuple[str, ...]

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame) -> FlowPair:
        """Estimates on the estimator's own grid."""


def pair_flow(device: str = "cpu", weights: Path | None = None) -> PairFlow:
    """Makes the flow estimator: PWC-Net on a GPU where its weights are given, else DIS, with a note if a GPU is idle.

    CardInvalid for weights that are not PWC-Net's.
    """
    if device.startswith("cpu"):
        return DisFlow()
    if weights is None:
        return DisFlow(("PWC-Net's weights are not here, so the flow is DIS's: mudar models import-pwcnet FILE.",))
    from mudar.media.interpolation.pwc import PwcFlow

    return PwcFlow.load(weights, device)


class DisFlow:
    """Estimates the flow of luma by DIS; OpenCV's estimator is made once a thread."""

    workers = 2

    def __init__(self, notes: tuple[str, ...] = ()) -> None:
        self.notes = notes
        self._thread = threading.local()

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame) -> FlowPair:
        """See `PairFlow`."""
        if not hasattr(self._thread, "dis"):
            self._thread.dis = _make_dis()
        a, b = (shrink(planes(frame)[0]) for frame in (first, second))
        forth, back = self._thread.dis.calc(a, b, None), self._thread.dis.calc(b, a, None)
        size = a.shape[1] // CELL, a.shape[0] // CELL
        grid_a, grid_b = (cv.resize(x, size, interpolation=cv.INTER_AREA) for x in (a, b))
        return FlowPair(grid_a, grid_b, _subsample(forth, size), _subsample(back, size))


def _make_dis() -> Any:
    """Sets DIS up with the numbers that gave the best frames for their time on 110 triplets of real dances."""
    dis = cv.DISOpticalFlow_create(cv.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(1)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(2)
    return dis


def _subsample(flow: Flow, size: tuple[int, int]) -> Flow:
    return np.ascontiguousarray(flow[CELL // 2 :: CELL, CELL // 2 :: CELL][: size[1], : size[0]]) / np.float32(CELL)


def shrink(luma: Plane, side_px: int | None = None) -> Plane:
    """Shrinks luma to the picture that flow is computed on; by default its size goes with that of the large one."""
    side = side_px or min(max(min(luma.shape) // 2, SMALLEST_PX), LARGEST_PX)
    scale = min(1.0, side / min(luma.shape))
    size = tuple(max(CELL, round(n * scale)) // CELL * CELL for n in luma.shape[::-1])
    skip = max(1, int(0.5 / scale))  # every pixel of a large picture would cost more than the flow
    return np.asarray(cv.resize(np.ascontiguousarray(luma[::skip, ::skip]), size, interpolation=cv.INTER_AREA))


class FlowInterpolator:
    """Makes motion-compensated frames by optical flow."""

    def __init__(self, flow: PairFlow | None = None) -> None:
        self._flow = flow or DisFlow()
        self.workers, self.notes = self._flow.workers, self._flow.notes
        self._thread = threading.local()

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """Makes a frame at each share; None where the flow explains too little of what moves."""
        if not hasattr(self._thread, "buffers"):
            self._thread.buffers = Buffers()
        fusion = FlowFusion(self._flow(first, second))
        return [self._render(first, second, fusion.at(share)) for share in shares]

    def _render(
        self, first: av.VideoFrame, second: av.VideoFrame, moment: IntermediateFlow | None
    ) -> av.VideoFrame | None:
        if moment is None:
            return None
        frame = empty_like(first)
        for a, b, out in zip(planes(first), planes(second), planes(frame), strict=True):
            fill(out, a, b, moment, self._thread.buffers)
        return frame


class Buffers:
    """Reuses large arrays: fresh ones cost more in page faults than the arithmetic in them."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """Returns an array of this shape with arbitrary values; there is one buffer a name, and it only grows."""
        count = int(np.prod(shape))
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < count:
            buffer = self._buffers[name] = np.empty(count, kind)
        return buffer[:count].reshape(shape)


def fill(out: Plane, a: Plane, b: Plane, moment: IntermediateFlow, buffers: Buffers) -> None:
    """Fills `out` (height, width) with the picture at the moment, from the same plane of both frames."""
    cv.addWeighted(a, 1 - moment.share, b, moment.share, 0.0, dst=out)
    _fill_moving_part(out, a, b, moment, buffers)


def _fill_moving_part(out: Plane, a: Plane, b: Plane, moment: IntermediateFlow, buffers: Buffers) -> None:
    """Overwrites the part of `out` that moves with both frames warped to the moment."""
    scale = np.array(out.shape, float) / moment.motion.shape[:2]
    box = _moving_box(moment.motion, scale)
    if box is None:
        return
    cells = slice(*box[0]), slice(*box[1])
    (y0, y1), (x0, x1) = (
        [round(edge * step) for edge in edges] for edges, step in zip(box, scale.tolist(), strict=True)
    )
    size, shape = (x1 - x0, y1 - y0), (y1 - y0, x1 - x0)
    motion = moment.motion[cells] * scale[::-1].astype(np.float32)  # to pixels of this plane
    corner = np.array([x0, y0], np.float32)
    positions = buffers("positions", (*shape, 2), np.float32)
    warped = []
    for name, plane, factor in (("a", a, -moment.share), ("b", b, 1 - moment.share)):
        cv.resize(np.float32(factor) * motion + corner, size, dst=positions)
        warped.append(warp(plane, positions, buffers(name, shape, np.uint8)))
    second, first = buffers("second", shape, np.float32), buffers("first", shape, np.float32)
    cv.resize(moment.second[cells], size, dst=second)
    cv.subtract(1.0, second, dst=first)
    out[y0:y1, x0:x1] = cv.blendLinear(*warped, first, second, dst=buffers("part", shape, np.uint8))


def _moving_box(motion: Flow, scale: NDArray[np.float64]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Returns (rows, columns) of the grid, from and until, around all that moves visibly; None if nothing does."""
    moves = np.abs(motion).max(axis=2) * scale.max() > MOVES
    if not moves.any():
        return None
    ranges = []
    for axis in (0, 1):
        moving = np.flatnonzero(moves.any(axis=1 - axis))
        ranges.append((max(0, int(moving[0]) - MARGIN), min(moves.shape[axis], int(moving[-1]) + 1 + MARGIN)))
    return ranges[0], ranges[1]
