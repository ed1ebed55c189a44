"""Cost volume and warp against loops that read like their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mudar.model.correlation import cost_volume, warp


def naive_cost_volume(first: Tensor, second: Tensor, reach: int) -> Tensor:
    batch, channels, height, width = first.shape
    side = 2 * reach + 1
    volume = torch.zeros(batch, side * side, height, width)
    for dy, dx in itertools.product(range(-reach, reach + 1), repeat=2):
        for y, x in itertools.product(range(height), range(width)):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                product = (first[:, :, y, x] * second[:, :, y + dy, x + dx]).sum(1) / channels
                volume[:, (dy + reach) * side + dx + reach, y, x] = product
    return volume


@pytest.mark.parametrize(("height", "width", "reach"), [(2, 2, 4), (4, 4, 4), (8, 16, 4), (11, 9, 4), (10, 6, 2)])
def test_cost_volume_equals_the_naive_loop(height: int, width: int, reach: int) -> None:
    torch.manual_seed(height)
    first, second = torch.randn(2, 5, height, width), torch.randn(2, 5, height, width)
    torch.testing.assert_close(cost_volume(first, second, reach), naive_cost_volume(first, second, reach))


def test_cost_volume_passes_gradients_to_both_sides() -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: cost_volume(a, b, 1), (first, second))


def naive_warp(features: np.ndarray, flow: np.ndarray) -> np.ndarray:
    channels, height, width = features.shape
    warped = np.zeros_like(features)
    for y, x in itertools.product(range(height), range(width)):
        to_x, to_y = x + float(flow[0, y, x]), y + float(flow[1, y, x])
        left, top = math.floor(to_x), math.floor(to_y)
        total, weight_inside = np.zeros(channels), 0.0
        for row, column in itertools.product((top, top + 1), (left, left + 1)):
            weight = (1 - abs(to_x - column)) * (1 - abs(to_y - row))
            if 0 <= row < height and 0 <= column < width:
                total += weight * features[:, row, column]
                weight_inside += weight
        warped[:, y, x] = total if weight_inside >= 0.9999 else 0
    return warped


def test_warp_equals_the_naive_loop_inside_and_beyond_the_edges() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((3, 7, 9)).astype(np.float32)
    flow = (rng.standard_normal((2, 7, 9)) * 3).astype(np.float32)
    flow[:, :2] = 0  # exact hits, at the edge too
    flow[:, 2] = np.rint(flow[:, 2])
    warped = warp(torch.from_numpy(features)[None], torch.from_numpy(flow)[None])[0].numpy()
    expected = naive_warp(features, flow)
    assert (expected == 0).all(axis=0).any()  # some points did lie outside
    np.testing.assert_allclose(warped, expected, atol=1e-4)


def test_warp_by_zero_is_identity_also_in_bfloat16() -> None:
    features = torch.randn(1, 4, 64, 64).bfloat16()
    assert torch.equal(warp(features, torch.zeros(1, 2, 64, 64).bfloat16()), features)
