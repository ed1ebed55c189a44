"""Estimates the flow between two frames by PWC-Net, for machines with a GPU.

Each frame is encoded once, and both directions are decoded as one batch. torch is imported here and nowhere else in
this folder: a rendering by DIS does without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mudar.media.interpolation.fusion import Flow, FlowPair
from mudar.media.interpolation.yuv import Plane, planes
from mudar.model.pwcnet import FLOW_UNIT_PX, PwcNet, as_input, read_weights

if TYPE_CHECKING:
    import av

cv: Any = cv2

STRIDE = 64  # PWC-Net takes sides that are multiples of this
LARGEST_PX = 448  # shorter side of its input


class PwcFlow:
    """Runs PWC-Net on its device. `dtype` float32 is exact, bfloat16 about twice as fast."""

    workers = 2  # one pair is warped on the CPU while the GPU has the next
    notes: tuple[str, ...] = ()

    def __init__(self, net: PwcNet, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self._net = net.to(device, dtype).eval()
        self._device, self._dtype = device, dtype

    @classmethod
    def load(cls, weights: Path, device: str) -> PwcFlow:
        """Loads the weights of this file (the public checkpoint or our safetensors). CardInvalid."""
        return cls(PwcNet.from_state(read_weights(weights)), device)

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame) -> FlowPair:
        """See `flow.PairFlow`."""
        return self.between(planes(first), planes(second))

    def between(self, first: list[Plane], second: list[Plane]) -> FlowPair:
        """Estimates from Y, U and V planes."""
        size = input_size(first[0].shape[1], first[0].shape[0])
        forth, back = self.flows(np.stack([yuv_to_rgb(first, size), yuv_to_rgb(second, size)]))
        grid = forth.shape[1], forth.shape[0]
        a, b = (cv.resize(p[0], grid, interpolation=cv.INTER_AREA) for p in (first, second))
        return FlowPair(a, b, forth, back)

    @torch.inference_mode()
    def flows(self, frames: NDArray[np.uint8]) -> tuple[Flow, Flow]:
        """Converts (2, H, W, 3) RGB to the flow there and back, each (h, w, 2) in pixels of that grid."""
        maps = self._net.pyramid(as_input(frames).to(self._device, self._dtype))
        finest = self._net.decode(maps, [m.flip(0) for m in maps])[0]
        pixels = finest.float() * (FLOW_UNIT_PX / 2**self._net.stop_level)
        forth, back = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return forth, back


def input_size(width: int, height: int) -> tuple[int, int]:
    """Returns the network's input size (width, height): multiples of 64, the shorter at most about 448."""
    scale = min(1.0, LARGEST_PX / min(width, height))
    return tuple(max(1, round(n * scale / STRIDE)) * STRIDE for n in (width, height))  # type: ignore[return-value]


def yuv_to_rgb(yuv: list[Plane], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Converts the planes Y, U, V, scaled to `size` (width, height), to (H, W, 3) RGB."""
    width, height = size
    packed = np.empty((height * 3 // 2, width), np.uint8)
    packed[:height] = cv.resize(yuv[0], size, interpolation=cv.INTER_AREA)
    half = width // 2, height // 2
    chroma = [cv.resize(plane, half, interpolation=cv.INTER_AREA).reshape(-1) for plane in yuv[1:]]
    packed[height:] = np.concatenate(chroma).reshape(height // 2, width)
    return np.asarray(cv.cvtColor(packed, cv.COLOR_YUV2RGB_I420), np.uint8)
