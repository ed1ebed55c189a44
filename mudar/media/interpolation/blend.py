"""Frames between frames, on yuv420p planes. Knows no time map, only pairs of frames and shares of the way.

`nearest` makes none; `blend` cross-fades; `flow` moves pixels (interpolate_flow.py). Whether a cut lies between two
frames is told elsewhere (cuts.py): nobody here is asked to cross one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2

from mudar.media.render.yuv import blank, planes

if TYPE_CHECKING:
    import av


class Between(Protocol):
    """Makes frames between two; `workers` = how many pairs are worth making at a time; `notes`: what to tell people."""

    workers: int
    notes: tuple[str, ...]

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """A new frame at each share (0..1) of the way; None = it cannot, show the nearest. Safe in threads."""


class Blend:
    """A cross-fade of the two frames."""

    workers = 1
    notes: tuple[str, ...] = ()

    def __call__(self, first: av.VideoFrame, second: av.VideoFrame, shares: list[float]) -> list[av.VideoFrame | None]:
        """(1 - share) of the first and share of the second, plane by plane."""
        return [self._mixed(first, second, share) for share in shares]

    def _mixed(self, first: av.VideoFrame, second: av.VideoFrame, share: float) -> av.VideoFrame:
        made = blank(first)
        for a, b, out in zip(planes(first), planes(second), planes(made), strict=True):
            cv2.addWeighted(a, 1 - share, b, share, 0.0, dst=out)
        return made
