"""Computes the multi-scale loss of PWC-Net: Σ_l α_l Σ_x |w_l(x) - w*_l(x)|, l = 2 … 6.

Shapes: B pairs; H, W rows and columns of the picture; level l is H / 2^l x W / 2^l, in units of 20 pixels.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from mudar.model.pwcnet import COARSEST, FLOW_UNIT_PX

LEVEL_WEIGHTS: Final = {2: 0.005, 3: 0.01, 4: 0.02, 5: 0.08, 6: 0.32}


def multiscale(flows: list[Tensor], truth: Tensor) -> Tensor:
    """Compares flows, finest first, with the truth (B, 2, H, W) in pixels.

    A sum over positions, as published,
    divided by the positions of level 6, so that the picture's size does not change the scale. Scalar."""
    finest = COARSEST - len(flows) + 1
    target = F.avg_pool2d(truth / FLOW_UNIT_PX, 2**finest)
    positions = truth.shape[2] * truth.shape[3] / 4**COARSEST
    total = truth.new_zeros(())
    for level, flow in enumerate(flows, start=finest):
        if level > finest:
            target = F.avg_pool2d(target, 2)
        error = (flow.float() - target).square().sum(dim=1).add(1e-8).sqrt()  # (B, h, w)
        total = total + LEVEL_WEIGHTS[level] * error.sum(dim=(1, 2)).mean() / positions
    return total


@torch.no_grad()
def endpoint_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Averages, to (B,), the length in pixels of the difference of two flows (B, 2, H, W) in pixels."""
    return (flow - truth).square().sum(dim=1).sqrt().mean(dim=(1, 2))
