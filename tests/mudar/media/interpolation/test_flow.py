"""Frames made by moving pixels: what moves is where it should be, what is uncovered comes from who saw it."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mudar.media.interpolation.flow import DisFlow, FlowInterpolator, pair_flow
from mudar.media.interpolation.fusion import FlowFusion, FlowPair
from mudar.media.interpolation.pwc import PwcFlow, input_size, yuv_to_rgb
from mudar.media.interpolation.yuv import planes
from mudar.model.pwcnet import PwcNet

Luma = NDArray[np.uint8]
HEIGHT, WIDTH = 180, 320


def texture(seed: int, shape: tuple[int, int], low: int, high: int) -> Luma:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(low, high, shape).astype(np.uint8), (5, 5), 0)


def scene(x: float, y: float = 40.0) -> Luma:
    """A bright textured square over a dark textured ground."""
    move = np.array([[1, 0, x], [0, 1, y]], np.float32)
    over = cv2.warpAffine(texture(1, (80, 80), 140, 255), move, (WIDTH, HEIGHT))
    inside = cv2.warpAffine(np.full((80, 80), 255, np.uint8), move, (WIDTH, HEIGHT))
    return np.where(inside > 127, over, texture(2, (HEIGHT, WIDTH), 20, 120))


def frame(luma: Luma) -> av.VideoFrame:
    planar = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planar[:HEIGHT] = luma
    return av.VideoFrame.from_ndarray(planar, format="yuv420p")


def off(made: av.VideoFrame | None, truth: Luma) -> NDArray[np.float64]:
    assert made is not None
    return np.abs(planes(made)[0].astype(float) - truth)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_square_is_where_it_should_be(share: float) -> None:
    first, second = scene(60), scene(74)
    (made,) = FlowInterpolator()(frame(first), frame(second), [share])
    truth = scene(60 + 14 * share)
    moving = np.abs(first.astype(int) - second) > 20
    faded = np.abs((1 - share) * first + share * second - truth)
    assert off(made, truth)[moving].mean() < 0.35 * faded[moving].mean()
    assert off(made, truth)[:, :30].mean() < 0.5  # far from it nothing changed


def test_what_is_uncovered_comes_from_the_frame_that_saw_it() -> None:
    """Beside the square, the ground that only one of both frames shows must not be half square."""
    first, second = scene(60), scene(80)
    (made,) = FlowInterpolator()(frame(first), frame(second), [0.5])
    error = off(made, scene(70))
    for columns in (slice(62, 67), slice(153, 158)):  # uncovered behind, still covered ahead
        assert error[50:110, columns].mean() < 25
    assert error[50:110, 80:140].mean() < 12


def test_flow_that_contradicts_itself_makes_no_frame() -> None:
    noise = [np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8) for seed in (1, 2)]
    smooth = [cv2.GaussianBlur(picture, (15, 15), 0) for picture in noise]
    stretched = [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in smooth]
    assert FlowInterpolator()(frame(stretched[0]), frame(stretched[1]), [0.5]) == [None]


def test_a_still_picture_stays_itself() -> None:
    (made,) = FlowInterpolator()(frame(scene(50)), frame(scene(50)), [0.4])
    assert off(made, scene(50)).max() <= 1


def test_the_nearer_guess_of_the_motion_wins() -> None:
    """True flow inside the square, rest outside: at the moment it must cover the square's place there, no more."""
    forth, back = np.zeros((45, 80, 2), np.float32), np.zeros((45, 80, 2), np.float32)
    forth[10:30, 15:35], back[10:30, 21:41] = (6, 0), (-6, 0)
    pictures = [cv2.resize(scene(4 * x), (80, 45), interpolation=cv2.INTER_AREA) for x in (15, 21)]
    moment = FlowFusion(FlowPair(pictures[0], pictures[1], forth, back)).at(0.5)
    assert moment is not None
    assert np.median(moment.motion[12:28, 20:36, 0]) == pytest.approx(6, abs=0.3)
    assert np.abs(moment.motion[:, 45:]).max() < 0.3


@pytest.mark.slow
def test_pwcnet_gives_both_ways_on_its_own_grid() -> None:
    torch.manual_seed(0)
    flows = PwcFlow(PwcNet())
    first, second = frame(scene(60)), frame(scene(74))
    pair = flows(first, second)
    assert input_size(WIDTH, HEIGHT) == (320, 192)
    assert pair.forth.shape == pair.back.shape == (48, 80, 2)
    swapped = flows(second, first)
    np.testing.assert_allclose(pair.forth, swapped.back, atol=1e-4)
    assert np.abs(pair.forth - pair.back).max() > 1e-3
    assert all(made is None or made.width == WIDTH for made in FlowInterpolator(flows)(first, second, [0.5]))


def test_colours_reach_the_network_as_they_are() -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    made = yuv_to_rgb(planes(av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format="yuv420p")), (128, 64))
    assert made.shape == (64, 128, 3)
    np.testing.assert_allclose(made.reshape(-1, 3).mean(axis=0), [200, 0, 0], atol=6)


def test_without_weights_dis_does_it_and_says_so() -> None:
    assert pair_flow().notes == ()
    instead = pair_flow("cuda", None)
    assert isinstance(instead, DisFlow)
    assert "import-pwcnet" in FlowInterpolator(instead).notes[0]
