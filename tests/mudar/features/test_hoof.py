"""HOOF against a loop that reads like equations (3)-(4), and the descriptor's promises."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mudar.features.hoof import camera, four_directions, hoof, mirror, motion_descriptor
from mudar.records import Array
from mudar.spec import VideoSpec


def random_flow(seed: int, height: int = 24, width: int = 32) -> Array:
    rng = np.random.default_rng(seed)
    flow = rng.standard_normal((height, width, 2)).astype(np.float32)
    flow[rng.random((height, width)) < 0.2] = 0.0  # still pixels
    flow[: height // 4, :, 1] = 0.0  # and purely horizontal ones, whose angle is exactly 0 or pi
    return flow


def naive_hoof(flow: Array, bins: int) -> list[float]:
    sums = [0.0] * bins
    for u, v in flow.reshape(-1, 2).astype(float):
        angle = math.atan2(v, u)
        for b in range(bins):
            distance = abs((angle - 2 * math.pi * b / bins + math.pi) % (2 * math.pi) - math.pi)
            if distance <= math.pi / bins:  # half of a bin's width on either side of its centre
                sums[b] += math.hypot(u, v)
                break
    return sums


@pytest.mark.parametrize("bins", [4, 8, 12, 16])
def test_hoof_equals_the_naive_loop(bins: int) -> None:
    flow = random_flow(bins)
    np.testing.assert_allclose(hoof(flow, bins), naive_hoof(flow, bins), rtol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_four_directions_are_those_of_hoof(seed: int) -> None:
    flow = random_flow(seed)
    described = four_directions(np.ascontiguousarray(flow[..., 0]), np.ascontiguousarray(flow[..., 1]))
    np.testing.assert_allclose(described, naive_hoof(flow, 4), rtol=1e-5)
    assert described.sum() == pytest.approx(np.hypot(flow[..., 0], flow[..., 1]).sum(), rel=1e-5)  # none is lost


@pytest.mark.parametrize(("u", "v", "bin_of_8"), [(1, 0, 0), (1, 1, 1), (0, 1, 2), (-1, 0, 4), (0, -1, 6), (1, -1, 7)])
def test_the_axes_lie_in_the_middle_of_their_bins(u: float, v: float, bin_of_8: int) -> None:
    flow = np.broadcast_to(np.array([u, v], np.float32), (6, 5, 2))
    expected = np.zeros(8)
    expected[bin_of_8] = 30 * math.hypot(u, v)
    np.testing.assert_allclose(hoof(flow, 8), expected, rtol=1e-6)


def test_descriptor_is_the_naive_hoof_of_the_whole_and_of_each_cell() -> None:
    spec = VideoSpec(fps=10.0, hoof_bins=12, grid=4, grid_directions=8, remove_camera=False)
    flow = random_flow(1)
    height, width = flow.shape[:2]
    described = motion_descriptor(flow, spec)
    assert described.shape == (spec.motion_dim,)
    assert described.dtype == np.float32

    scaled = flow * np.array([10 / width, 10 / height], np.float32)
    area = height * width
    np.testing.assert_allclose(described[:12], np.array(naive_hoof(scaled, 12)) / area, rtol=1e-4)
    np.testing.assert_allclose(described[12], np.hypot(scaled[..., 0], scaled[..., 1]).mean(), rtol=1e-5)
    cells = described[13:].reshape(4, 4, 8)
    for row in range(4):
        for column in range(4):
            cell = scaled[row * 6 : row * 6 + 6, column * 8 : column * 8 + 8]
            np.testing.assert_allclose(cells[row, column], np.array(naive_hoof(cell, 8)) / 48, rtol=1e-4, atol=1e-7)


def nearest_edge(flow: Array, spec: VideoSpec) -> float:
    """Radians between an edge of a bin and the pixel that lies nearest to one; rounding decides which side it is on."""
    height, width = flow.shape[:2]
    u, v = flow[..., 0].astype(float), flow[..., 1].astype(float)
    if spec.remove_camera:
        u, v = u - camera(flow[..., 0]), v - camera(flow[..., 1])
    moving = (u != 0) | (v != 0)
    angle = np.arctan2(v / height, u / width)[moving]
    return min(
        np.abs((angle * bins / (2 * math.pi)) % 1 - 0.5).min() * 2 * math.pi / bins
        for bins in (spec.hoof_bins, spec.grid_directions)
    )


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0, 1, 3, 4, 8]), st.booleans(), st.sampled_from([(24, 32), (17, 24)]))
def test_mirror_equals_the_descriptor_of_the_mirrored_flow(
    seed: int, grid: int, remove_camera: bool, shape: tuple[int, int]
) -> None:
    spec = VideoSpec(grid=grid, remove_camera=remove_camera)
    flow = random_flow(seed, *shape)
    assume(nearest_edge(flow, spec) > 1e-5)
    mirrored = flow[:, ::-1] * np.array([-1, 1], np.float32)
    described = mirror(motion_descriptor(flow, spec), spec)
    np.testing.assert_allclose(described, motion_descriptor(mirrored, spec), rtol=1e-5, atol=1e-6)


def test_mirror_is_its_own_inverse_and_takes_any_leading_axes() -> None:
    spec = VideoSpec()
    batch = np.random.default_rng(0).random((2, 3, spec.motion_dim), dtype=np.float32)
    assert not np.array_equal(mirror(batch, spec), batch)
    np.testing.assert_array_equal(mirror(mirror(batch, spec), spec), batch)


def test_mirror_refuses_odd_directions() -> None:
    spec = VideoSpec(hoof_bins=9)
    with pytest.raises(ValueError, match="even"):
        mirror(np.zeros(spec.motion_dim, np.float32), spec)


def test_a_camera_that_pans_leaves_no_trace() -> None:
    spec = VideoSpec(remove_camera=True)
    dancer = np.zeros((64, 64, 2), np.float32)
    dancer[20:40, 20:30] = (1.5, -2.0)
    pan = dancer + np.array([3.0, 1.0], np.float32)
    np.testing.assert_allclose(motion_descriptor(pan, spec), motion_descriptor(dancer, spec), atol=1e-6)
    assert motion_descriptor(pan, replace(spec, remove_camera=False))[12] > 0.5


def test_neither_picture_size_nor_frame_rate_changes_the_descriptor() -> None:
    spec = VideoSpec(fps=15.0)
    flow = random_flow(3)
    twice = np.kron(flow.transpose(2, 0, 1), np.ones((2, 2), np.float32)).transpose(1, 2, 0) * 2
    expected = motion_descriptor(flow, spec)
    np.testing.assert_allclose(motion_descriptor(twice, spec), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(motion_descriptor(flow / 2, spec, fps=30.0), expected, rtol=1e-4, atol=1e-6)
