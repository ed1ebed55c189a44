"""Known flow is the flow of the pictures: carried back along it, the second picture is the first."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from training.data.synthetic.clip import make_clip
from training.data.synthetic.flow.flowpairs import clip_flow, draw_pair, make_pair
from training.data.synthetic.flow.layers import Flow, affine_between
from training.data.synthetic.video.film import film_stage
from training.data.synthetic.video.parts import body_parts
from training.data.synthetic.video.scene import Image, draw_body

pytestmark = pytest.mark.slow

SIZE = 160, 128  # width, height


def carried_back(second: Image, flow: Flow) -> np.ndarray:
    """The second picture, looked up where the flow says that each pixel of the first has gone."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR).astype(float)


def test_the_second_picture_carried_back_is_the_first() -> None:
    far, errors, unmoved, wrong = [], [], [], []
    for seed in range(16):
        pair = make_pair(seed, *SIZE)
        errors.append(np.abs(carried_back(pair.second, pair.flow) - pair.first)[pair.visible].mean())
        wrong.append(np.abs(carried_back(pair.second, -pair.flow) - pair.first)[pair.visible].mean())
        unmoved.append(np.abs(pair.second.astype(float) - pair.first)[pair.visible].mean())
        far.append(float(np.hypot(*np.moveaxis(pair.flow, 2, 0)).max()))
        assert pair.visible.mean() > 0.6
    assert max(errors) < 4  # of 255: resampling and blended edges
    assert np.mean(errors) < 2
    assert np.mean(unmoved) > 4 * np.mean(errors)
    assert np.mean(wrong) > 5 * np.mean(errors)
    assert max(far) > 25
    assert min(far) < 8


def test_a_pair_is_its_seed() -> None:
    one, same, other = draw_pair(4, *SIZE), draw_pair(4, *SIZE), draw_pair(5, *SIZE)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])
    first, second, flow = one
    assert first.shape == second.shape == (128, 160, 3)
    assert (first.dtype, flow.dtype, flow.shape) == (np.uint8, np.float32, (128, 160, 2))


@pytest.mark.parametrize("seed", [3, 8])
def test_the_flow_of_a_filmed_clip_is_that_of_its_pictures(seed: int) -> None:
    dance = make_clip(seed, 0.8).dance
    frames = list(dance.frames(15, *SIZE))
    flows = list(clip_flow(dance, 15, *SIZE))
    assert len(flows) == len(frames) - 1
    carried, still = [], []
    for (first, second), flow in zip(itertools.pairwise(frames), flows, strict=True):
        moved = np.hypot(flow[..., 0], flow[..., 1]) > 1.0
        if moved.any():
            carried.append(np.median(np.abs(carried_back(second, flow) - first).mean(axis=2)[moved]))
            still.append(np.mean(np.abs(second.astype(float) - first).mean(axis=2)[moved]))
    assert np.mean(carried) < 0.5 * np.mean(still)


def test_a_body_s_parts_have_the_outline_that_is_filmed() -> None:
    for seed in range(4):
        dance = make_clip(seed, 0.5).dance
        stage = film_stage(dance.bodies, seed, 0.0, np.zeros(1), 256, 256)
        for at, scale, depth, outfit in stage.actors:
            painted, filled = np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), np.uint8)
            draw_body(painted, at[0], scale[0], depth[0], outfit)
            for part in body_parts(at[0], scale[0], depth[0], outfit):
                cv2.fillConvexPoly(filled, cv2.convexHull(np.rint(part.corners).astype(np.int32)), 255)
            one, other = painted.max(axis=2) > 8, filled > 0
            assert (one & other).sum() > 0.9 * (one | other).sum()


def test_an_affine_map_is_found_from_its_corners() -> None:
    rng = np.random.default_rng(0)
    corners, motion = rng.normal(size=(7, 2)), rng.normal(size=(2, 3))
    assert np.allclose(affine_between(corners, corners @ motion[:, :2].T + motion[:, 2]), motion)
