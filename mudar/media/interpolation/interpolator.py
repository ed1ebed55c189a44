"""Chooses who makes the frames between two frames: nobody (`nearest`), a cross-fade (`blend`) or optical flow (`flow`).

Interpolators know no time map, only pairs of yuv420p frames and shares of the way between them. Whether a cut lies
between two frames is decided elsewhere (cuts.py): none of them is ever given such a pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2

from mudar.media.interpolation.flow import FlowInterpolator, PairFlow
from mudar.media.interpolation.yuv import empty_like, planes

if TYPE_CHECKING:
    import av


class Interpolator(Protocol):
    """Makes frames between two. workers: how many pairs are worth making at a time; notes: what to tell the user."""

    workers: int
    notes: tuple[str, ...]

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """Makes a frame at each share (0..1) of the way; None where it cannot. Safe in threads."""


class BlendInterpolator:
    """Cross-fades the two frames."""

    workers = 1
    notes: tuple[str, ...] = ()

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """Mixes (1 - share) of the first and share of the second, plane by plane."""
        return [_blend(first, second, share) for share in shares]


def _blend(first: av.VideoFrame, second: av.VideoFrame, share: float) -> av.VideoFrame:
    blended = empty_like(first)
    for a, b, out in zip(planes(first), planes(second), planes(blended), strict=True):
        cv2.addWeighted(a, 1 - share, b, share, 0.0, dst=out)
    return blended


def make_interpolator(interpolation: str, flow: PairFlow | None = None) -> Interpolator | None:
    """Makes the interpolator of this name; None for `nearest`. flow: the estimator for `flow`, DIS if none is given."""
    if interpolation == "nearest":
        return None
    return FlowInterpolator(flow) if interpolation == "flow" else BlendInterpolator()
