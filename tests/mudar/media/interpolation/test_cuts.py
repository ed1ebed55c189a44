"""Cuts are told from pans, whirls of a textured room and flashes of light."""

from __future__ import annotations

from collections.abc import Iterable

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mudar.media.interpolation.cuts import CutDetector

Luma = NDArray[np.uint8]


def room(seed: int, width: int = 480, height: int = 180) -> Luma:
    """Something with edges at every scale."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(0, 1, (n, 2 * n)), (width, height), interpolation=cv2.INTER_CUBIC) for n in (3, 9)]
    return np.clip(110 + 35 * sum(layers), 0, 255).astype(np.uint8)


def frame(luma: Luma) -> av.VideoFrame:
    planar = np.full((180 * 3 // 2, 320), 128, np.uint8)
    planar[:180] = luma[:, :320]
    return av.VideoFrame.from_ndarray(planar, format="yuv420p")


def cuts_in(pictures: Iterable[Luma]) -> list[int]:
    """Numbers of the pictures that begin a shot."""
    detector, frames = CutDetector(), [frame(luma) for luma in pictures]
    return [k + 1 for k in range(len(frames) - 1) if detector(frames[k], frames[k + 1])]


def pan(seed: int, px: int) -> list[Luma]:
    return [np.roll(room(seed), -px * k, axis=1) for k in range(8)]


def test_a_hard_cut_between_two_rooms_and_nothing_else() -> None:
    assert cuts_in(pan(1, 3) + pan(2, 3) + pan(3, 3)) == [8, 16]


@pytest.mark.parametrize("px", [2, 10, 25])
def test_a_pan_is_no_cut_however_much_changes(px: int) -> None:
    pictures = pan(4, px)
    assert px < 10 or np.abs(pictures[1][:, :320].astype(int) - pictures[0][:, :320]).mean() > 10
    assert not cuts_in(pictures)


def test_a_flash_and_a_fade_are_no_cuts() -> None:
    lit = [np.clip(room(5) + light, 0, 255).astype(np.uint8) for light in (0, 0, 0, 20, 0, 0)]
    assert not cuts_in(lit)
    first, second = room(6).astype(float), room(7).astype(float)
    dissolve = [(first * (1 - k / 12) + second * k / 12).astype(np.uint8) for k in range(13)]
    assert not cuts_in(dissolve)


def test_a_cut_to_black_and_back() -> None:
    black = [np.full((180, 480), 16, np.uint8)] * 4
    assert cuts_in(pan(8, 1)[:4] + black + pan(9, 1)[:4]) == [4, 8]


def test_a_jump_cut_in_one_room() -> None:
    """Same walls, the dancer elsewhere from one frame to the next."""

    def pose(x: int) -> Luma:
        picture = room(10)
        picture[20:170, x : x + 110] = 255 - room(11)[20:170, x : x + 110]
        return picture

    assert cuts_in([pose(20 + k) for k in range(5)] + [pose(190 + k) for k in range(5)]) == [5]
