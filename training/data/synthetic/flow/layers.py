"""Draws textured shapes that affine maps move from one picture to the next, and the flow that this makes.

What is painted *is* what the flow says: no approximation lies between them. Knows no dancers.
Shapes: H, W rows and columns; K corners; maps are (2, 3) matrices of (x, y, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.scene import Image

Array = NDArray[np.float64]
Flow = NDArray[np.float32]
Rng = np.random.Generator
_SHIFT: Final = 4  # bits of a pixel's fraction that cv2 draws with


@dataclass(frozen=True)
class Layer:
    """A shape in the first picture, and the map that carries it, with its texture, to the second."""

    corners: Array  # (K, 2)
    motion: Array  # (2, 3)
    colour: Array  # (3,)
    texture_at: tuple[int, int]  # where in the sheet of noise it is cut out
    contrast: float


@dataclass(frozen=True)
class SyntheticPair:
    """Two pictures (H, W, 3), the flow (H, W, 2) in pixels from the first, and where its end is seen in the second."""

    first: Image
    second: Image
    flow: Flow
    visible: NDArray[np.bool_]


@dataclass
class _Canvas:
    """One picture while it is painted, and the number of the layer on top at each pixel."""

    image: NDArray[np.float32]
    top: NDArray[np.int16] = field(init=False)

    def __post_init__(self) -> None:
        self.top = np.zeros(self.image.shape[:2], np.int16)


def affine_between(before: Array, after: Array) -> Array:
    """The (2, 3) map that carries corners (K, 2) nearest to where they are later, in the sense of least squares."""
    homogeneous = np.concatenate([before, np.ones((len(before), 1))], axis=1)
    return np.linalg.lstsq(homogeneous, after, rcond=None)[0].T


def paint(rng: Rng, layers: list[Layer], wall: Image, room: list[Array], width: int, height: int) -> SyntheticPair:
    """The pair that these layers make, the last on top, before a wall seen through two cameras `room`."""
    sheet = _noise(rng)
    canvases = [_Canvas(_visible_from(wall, camera, width, height)) for camera in room]
    flow = field_of(after(inverse(room[0]), room[1]), 0, 0, width, height)
    for number, layer in enumerate(layers, start=1):
        region = _stamp(canvases[0], layer, np.eye(2, 3), sheet, number)
        _stamp(canvases[1], layer, layer.motion, sheet, number)
        if region is not None:
            x, y, mask = region
            rows, columns = mask.shape
            here = flow[y : y + rows, x : x + columns]
            here[mask] = field_of(layer.motion, x, y, columns, rows)[mask]
    first, second = (cast(Image, np.rint(canvas.image).clip(0, 255).astype(np.uint8)) for canvas in canvases)
    return SyntheticPair(first, second, flow, _visible_layers(canvases, flow))


def _stamp(
    canvas: _Canvas, layer: Layer, motion: Array, sheet: NDArray[np.float32], number: int
) -> tuple[int, int, NDArray[np.bool_]] | None:
    """Paint the moved layer; returns the corner (x, y) and mask of where it now is on top, None if nowhere."""
    height, width = canvas.top.shape
    corners = layer.corners @ motion[:, :2].T + motion[:, 2]
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    (x0, y0), (x1, y1) = low.clip(0), np.minimum(high, [width, height])
    if x1 <= x0 or y1 <= y0:
        return None
    cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
    points = np.rint((corners - [x0, y0]) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(cover, cv2.convexHull(points), 255, cv2.LINE_AA, _SHIFT)
    # Pixel (x, y) of this patch shows the sheet where the layer's own point, carried back, has its texture.
    back = inverse(motion)
    back = np.concatenate([back[:, :2], (back[:, :2] @ [x0, y0] + back[:, 2] + layer.texture_at)[:, None]], axis=1)
    grain = cv2.warpAffine(sheet, back, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    share = (cover.astype(np.float32) / 255)[..., None]
    patch = canvas.image[y0:y1, x0:x1]
    patch += share * (layer.colour.astype(np.float32) + np.float32(layer.contrast) * grain[..., None] - patch)
    mask = cover > 127
    canvas.top[y0:y1, x0:x1][mask] = number
    return int(x0), int(y0), mask


def _visible_layers(canvases: list[_Canvas], flow: Flow) -> NDArray[np.bool_]:
    """Where the point that a pixel shows lies inside the second picture, with nothing before it."""
    height, width = canvases[0].top.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x, y = np.rint(columns + flow[..., 0]).astype(int), np.rint(rows + flow[..., 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    later = canvases[1].top[y.clip(0, height - 1), x.clip(0, width - 1)]
    return inside & (later == canvases[0].top)


def _visible_from(wall: Image, camera: Array, width: int, height: int) -> NDArray[np.float32]:
    visible = cv2.warpAffine(wall, camera, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(visible, np.float32)


def _noise(rng: Rng, side: int = 512) -> NDArray[np.float32]:
    """A sheet of cloudy noise, about ±1, with detail from 2 to 32 pixels."""
    sheet = np.zeros((side, side), np.float32)
    for cells in (side // 2, side // 4, side // 12, side // 32):
        some = rng.standard_normal((cells, cells), dtype=np.float32)
        sheet += cv2.resize(some, (side, side), interpolation=cv2.INTER_CUBIC)
    return sheet * np.float32(0.5)


def field_of(motion: Array, x0: int, y0: int, width: int, height: int) -> Flow:
    """Computes the flow (height, width, 2) of an affine map over the pixels from (x0, y0) on."""
    x, y = np.meshgrid(np.arange(x0, x0 + width), np.arange(y0, y0 + height))
    moved = motion - np.eye(2, 3)
    return (x[..., None] * moved[:, 0] + y[..., None] * moved[:, 1] + moved[:, 2]).astype(np.float32)


def after(first: Array, second: Array) -> Array:
    """The map that does `first`, then `second`."""
    return np.concatenate([second[:, :2] @ first[:, :2], (second[:, :2] @ first[:, 2] + second[:, 2])[:, None]], axis=1)


def inverse(motion: Array) -> Array:
    """The map that undoes it."""
    turn = np.linalg.inv(motion[:, :2])
    return np.concatenate([turn, (-turn @ motion[:, 2])[:, None]], axis=1)
