"""Dense optical flow between two frames, by OpenCV's DIS or by PWC-Net: section 3.1.2's input to HOOF.

A card says which of the two a model was trained with; they never mix. Knows no files and no HOOF.
Flow is (h, w, 2) float32: u to the right, v down, in pixels a frame of the returned grid itself (PWC-Net's is
smaller than its picture), so that u / w is always in picture sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.records import Array
from mudar.spec import VideoSpec

if TYPE_CHECKING:
    from mudar.model.pwcnet import PwcNet

Image = NDArray[np.uint8]

_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class FlowEstimator(Protocol):
    """Two frames in, the motion from the first to the second out."""

    pixel: Literal["gray", "rgb24"]  # the form of frame that costs least to decode for this estimator
    size_px: int  # side of the square picture it works on; other sizes are scaled to it

    def __call__(self, previous: Image, following: Image) -> Array:
        """(H, W) gray or (H, W, 3) RGB frames to (h, w, 2) flow in pixels of that grid."""
        ...


class DisFlow:
    """Dense inverse search (Kroeger et al. 2016): 0.2-2 ms a pair at 128 x 128 on one core."""

    pixel: Literal["gray", "rgb24"] = "gray"

    def __init__(self, spec: VideoSpec) -> None:
        cv2.setNumThreads(1)  # one process a core is faster than threads under load
        self.size_px = spec.flow_size_px
        self._dis = cv2.DISOpticalFlow.create(_DIS_PRESETS[spec.dis_preset])

    def __call__(self, previous: Image, following: Image) -> Array:
        """See `FlowEstimator`; h = w = size_px."""
        first, second = (_scaled(_gray(frame), self.size_px) for frame in (previous, following))
        return np.asarray(self._dis.calc(first, second, None), np.float32)  # type: ignore[call-overload]


class PwcFlow:
    """PWC-Net, stopped at `net.stop_level`: the grid is size_px / 2^level a side."""

    pixel: Literal["gray", "rgb24"] = "rgb24"

    def __init__(self, net: PwcNet, spec: VideoSpec) -> None:
        self.size_px = spec.flow_size_px
        self._net = net.eval()

    def __call__(self, previous: Image, following: Image) -> Array:
        """See `FlowEstimator`; gray frames are shown to the network as gray RGB."""
        return self.sequence(np.stack([self._prepared(previous), self._prepared(following)]))[0]

    def sequence(self, frames: Image) -> Array:
        """(N, H, W, 3) RGB frames to the (N-1, h, w, 2) flows between neighbours, each frame encoded once."""
        from mudar.model.pwcnet import flow_between_neighbours

        return flow_between_neighbours(self._net, np.stack([self._prepared(frame) for frame in frames]))

    def _prepared(self, frame: Image) -> Image:
        return _scaled(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2), self.size_px)


def make_flow(spec: VideoSpec, weights: Path | None = None, device: str = "cpu") -> FlowEstimator:
    """The estimator that `spec.flow` names; PWC-Net reads its `weights` (public checkpoint or our safetensors) and
    works on `device`, DIS always on the CPU."""
    if spec.flow == "dis":
        return DisFlow(spec)
    if weights is None:
        raise ValueError("flow = 'pwcnet' needs the path of its weights: see `mudar models import-pwcnet`")
    from mudar.model.pwcnet import PwcNet, read_weights

    return PwcFlow(PwcNet.from_state(read_weights(weights), spec.pwcnet_stop_level).to(device), spec)


def _gray(frame: Image) -> Image:
    return frame if frame.ndim == 2 else np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _scaled(frame: Image, side_px: int) -> Image:
    if frame.shape[0] == frame.shape[1] == side_px:
        return np.ascontiguousarray(frame)
    return np.asarray(cv2.resize(frame, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
