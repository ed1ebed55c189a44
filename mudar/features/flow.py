"""Estimates dense optical flow between two frames, by OpenCV's DIS or by PWC-Net: section 3.1.2's input to HOOF.

A model card says which of the two a model was trained with; they never mix. Knows no files and no HOOF.
Flow is (h, w, 2) float32: u to the right, v down, in pixels a frame of the returned grid itself (PWC-Net's is
smaller than its picture), so that u / w is always in picture sides.

A wide picture squeezed into a square has thin arms, and DIS loses them; what it loses on real clips is noise as well,
and the mean of both serves both (docs/experiments/RETARGET.md, docs/experiments/BEATS.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.records import Array
from mudar.spec import FlowShape, VideoSpec

if TYPE_CHECKING:
    from mudar.model.pwcnet import PwcNet

Image = NDArray[np.uint8]
Size = tuple[int, int]  # width, height

MOST_ELONGATED: Final = 3.0  # longer pictures are squeezed to this: flow costs what its picture's area costs
_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


class FlowEstimator(Protocol):
    """Estimates the motion from a first frame to a second."""

    pixel: Literal["gray", "rgb24"]  # the form of frame that costs least to decode for this estimator

    def size(self, shown: Size) -> Size:
        """Returns the (width, height) at which it reads a picture that is `shown` so large."""
        ...

    def __call__(self, previous: Image, following: Image) -> tuple[Array, ...]:
        """Estimates (h, w, 2) flows in pixels of the grid, one a shape, of (H, W) gray or (H, W, 3) RGB frames."""
        ...


class DisFlow:
    """Runs dense inverse search (Kroeger et al. 2016): 0.2-2 ms a pair at 128 x 128 on one core."""

    pixel: Literal["gray", "rgb24"] = "gray"

    def __init__(self, spec: VideoSpec) -> None:
        cv2.setNumThreads(1)  # one process a core is faster than threads under load
        self._side_px, self._shape = spec.flow_size_px, spec.flow_shape
        self._dis = cv2.DISOpticalFlow.create(_DIS_PRESETS[spec.dis_preset])

    def size(self, shown: Size) -> Size:
        """See `FlowEstimator`."""
        return scaled_size(shown, self._side_px, self._shape)

    def __call__(self, previous: Image, following: Image) -> tuple[Array, ...]:
        """See `FlowEstimator`: a square, the shape of the file, or that and the square."""
        height, width = previous.shape[:2]
        square = self._side_px, self._side_px
        size = self.size((width, height))
        sizes = [size, square] if self._shape == "both" and size != square else [size]
        frames = _gray(previous), _gray(following)
        return tuple(self._flow(*(_scaled(frame, each) for frame in frames)) for each in sizes)

    def _flow(self, first: Image, second: Image) -> Array:
        return np.asarray(self._dis.calc(first, second, None), np.float32)  # type: ignore[call-overload]


class PwcFlow:
    """Runs PWC-Net, stopped at `net.stop_level`: a square grid of size_px / 2^level a side, as in the paper."""

    pixel: Literal["gray", "rgb24"] = "rgb24"

    def __init__(self, net: PwcNet, spec: VideoSpec) -> None:
        self._side_px = spec.flow_size_px
        self._net = net.eval()

    def size(self, shown: Size) -> Size:
        """See `FlowEstimator`."""
        return self._side_px, self._side_px

    def __call__(self, previous: Image, following: Image) -> tuple[Array, ...]:
        """See `FlowEstimator`; gray frames are shown to the network as gray RGB."""
        return (self.sequence(np.stack([self._as_rgb(previous), self._as_rgb(following)]))[0],)

    def sequence(self, frames: Image) -> Array:
        """Estimates the (N-1, h, w, 2) flows between neighbours of (N, H, W, 3) RGB frames, each encoded once."""
        from mudar.model.pwcnet import flow_between_neighbours

        return flow_between_neighbours(self._net, np.stack([self._as_rgb(frame) for frame in frames]))

    def _as_rgb(self, frame: Image) -> Image:
        return as_square(frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2), self._side_px)


def scaled_size(shown: Size, side_px: int, shape: FlowShape) -> Size:
    """Returns the (width, height) of a picture that is `shown` so large, as a square or with that shorter side."""
    if shape == "square":
        return side_px, side_px
    width, height = shown
    longer = round(side_px * min(max(width, height) / min(width, height), MOST_ELONGATED))
    return (longer, side_px) if width > height else (side_px, longer)


def make_flow(spec: VideoSpec, weights: Path | None = None, device: str = "cpu") -> FlowEstimator:
    """Makes the estimator that `spec.flow` names.

    PWC-Net reads its `weights` (public checkpoint or our safetensors) and works on `device`, DIS always on the CPU.
    """
    if spec.flow == "dis":
        return DisFlow(spec)
    if weights is None:
        raise ValueError("flow = 'pwcnet' needs the path of its weights: see `mudar models import-pwcnet`")
    from mudar.model.pwcnet import PwcNet, read_weights

    return PwcFlow(PwcNet.from_state(read_weights(weights), spec.pwcnet_stop_level).to(device), spec)


def _gray(frame: Image) -> Image:
    return frame if frame.ndim == 2 else np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def as_square(frame: Image, side_px: int) -> Image:
    """Squeezes the picture, (H, W) or (H, W, 3), into (side_px, side_px)."""
    return _scaled(frame, (side_px, side_px))


def _scaled(frame: Image, size: Size) -> Image:
    if frame.shape[1::-1] == size:
        return np.ascontiguousarray(frame)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
