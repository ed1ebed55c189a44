"""Initialises PWC-Net on drawn pairs, so that it matches pictures before the first step.

With the usual random weights it does not: features are far from centred and sampled without a blur, their products
hardly differ from one displacement to the next, and before they do the network has learnt to answer "no motion" by
shrinking all features to nothing, from where no gradient brings it back. Here

- each convolution's output gets mean 0 and variance 1 per channel (after Mishkin & Matas 2016, "All you need is a
  good init"), what halves the pyramid's size mostly blurs, and what is compared is nearly white over its channels;
- a decoder's first two blocks hand on the costs, each displacement's summed over the neighbourhood and less the mean
  of all, in 81 of their 128 channels; the rest stays random;
- a level's flow is the coarser level's, bilinearly enlarged, and the mean displacement under those costs, times a few
  factors that least squares fits to the known flow.

Only numbers change: names, shapes and the forward pass stay those of the public checkpoint. Flow in units of 20 px.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mudar.model.correlation import RANGE, warp
from mudar.model.pwcnet import COARSEST, FLOW_UNIT_PX, Decoder, PwcNet
from training.flow.layers import PairBatch

_COSTS = (2 * RANGE + 1) ** 2
_BLOCK_0, _BLOCK_1, _MADE = 320, 192, 448  # where the two blocks' channels and the inputs begin: the newest come first
_SURE = 4  # coarser levels have too few positions to fit anything to
_BLUR = 3.0  # of a halving convolution, against 1 of chance
_CHANCE = 0.02  # what else a flow layer starts with, of what it would be
_NOISE = 100.0  # weight of what differs between two views of a point, against what differs between points
_RIDGE = 1e-2
_SHRINK = 1.0  # ridge of the fitted factors
_FLOOR = 1e-6


@torch.no_grad()
def lsuv_init(net: PwcNet, pairs: PairBatch) -> None:
    """Sets the weights in place by one pass over drawn pairs, a dozen of 256 x 256. Chance is torch's own."""
    levels = [cast(nn.Sequential, level) for level in net.pyramid.levels]
    compared = {_convolution(level[-1]): i for i, level in enumerate(levels, start=1) if i <= _SURE}
    hooks = []
    for name, module in net.named_modules():
        if module in compared:
            hooks.append(module.register_forward_hook(_Decorrelate(pairs.flow, compared[cast(nn.Conv2d, module)])))
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not _gives_flow(name):
            hooks.append(module.register_forward_hook(_standardise))
    for level in levels[1:]:
        _smooth(_convolution(level[0]))
    for number, module in net.decoders.items():
        decoder = cast(Decoder, module)
        blocks = [_convolution(decoder.dense[i]) for i in (0, 1)]
        _hand_on_costs(blocks[0], 1 / _COSTS)
        _hand_on_costs(blocks[1], 0.0)
        hooks.append(blocks[0].register_forward_pre_hook(_same_say))
        _enlarge_bilinearly(decoder.up_flow)
        hooks.append(decoder.predict.register_forward_hook(_Fit(pairs.flow, int(number))))
    if net.context is not None:
        _hardly_speak(cast(nn.Conv2d, net.context[-1]))
    try:
        net(pairs.first, pairs.second)
    finally:
        for hook in hooks:
            hook.remove()


def _convolution(block: nn.Module) -> nn.Conv2d:
    return cast(nn.Conv2d, cast(nn.Sequential, block)[0])


def _gives_flow(name: str) -> bool:
    return name.endswith((".predict", ".up_flow")) or name == "context.6"


def _standardise(module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    """Fold mean and deviation of each output channel into the weights; gives what the corrected layer gives."""
    layer = cast(nn.Conv2d, module)
    mean, deviation = output.mean(dim=(0, 2, 3)), output.std(dim=(0, 2, 3))
    deviation = deviation.clamp_min(0.05 * float(deviation.median()) + _FLOOR)
    layer.weight /= deviation.view((-1, 1, 1, 1) if isinstance(layer, nn.Conv2d) else (1, -1, 1, 1))
    bias = cast(Tensor, layer.bias)
    bias.copy_((bias - mean) / deviation)
    return (output - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)


class _Decorrelate:
    """What is compared gets nearly white over its channels: else brightness alone decides a product of features, and
    one displacement looks like the next. What differs between two views of the same point counts less."""

    def __init__(self, truth_px: Tensor, level: int) -> None:
        self.moved = F.avg_pool2d(truth_px, 2**level) / 2**level

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        layer = cast(nn.Conv2d, module)
        output = output - output.mean(dim=(0, 2, 3), keepdim=True)
        first, second = output.chunk(2)
        second = warp(second, self.moved)
        visible = (second != 0).any(dim=1)
        view_noise = _covariance((first - second).transpose(0, 1)[:, visible])
        values, vectors = torch.linalg.eigh(_NOISE * view_noise + _covariance(output.transpose(0, 1).flatten(1)))
        white = ((vectors / (values + _RIDGE * values.mean()).sqrt()) @ vectors.T).to(output.dtype)
        size = torch.einsum("po,bohw->bphw", white, output).std()
        layer.weight.copy_(torch.einsum("po,oikl->pikl", white / size, layer.weight))
        made = F.conv2d(inputs[0], layer.weight, None, layer.stride, layer.padding)
        mean = made.mean(dim=(0, 2, 3))
        cast(Tensor, layer.bias).copy_(-mean)
        return made - mean.view(1, -1, 1, 1)


def _covariance(rows: Tensor) -> Tensor:
    """(C, N) to (C, C), in double precision."""
    rows = rows.double()
    return rows @ rows.T / rows.shape[1]


class _Fit:
    """Fit what a level adds to the coarser flow; gives the flow that the fitted layer gives."""

    def __init__(self, truth_px: Tensor, level: int) -> None:
        self.target_flow = F.avg_pool2d(truth_px / FLOW_UNIT_PX, 2**level)
        self.level = level

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        layer, x = cast(nn.Conv2d, module), inputs[0]
        _hardly_speak(layer)
        if self.level <= _SURE:
            ways = _readouts(x)
            readings = torch.stack([F.conv2d(x, way[:, :, None, None]).flatten() for way in ways]).double()
            both = readings @ readings.T
            missing = (self.target_flow - x[:, -4:-2]).flatten().double()
            factors = torch.linalg.solve(both + torch.diag(_SHRINK * both.diag() + _FLOOR), readings @ missing)
            layer.weight[:, :, 1, 1] += torch.einsum("k,koi->oi", factors.to(x.dtype), ways)
        if self.level != COARSEST:  # then the inputs end with the coarser flow and features, two channels each
            layer.weight[:, -4:-2] = 0
            layer.weight[0, -4, 1, 1] = layer.weight[1, -3, 1, 1] = 1
        return F.conv2d(x, layer.weight, layer.bias, padding=1)


def _readouts(x: Tensor) -> Tensor:
    """(6, 2, inputs): ways to read a displacement off the costs as they came, as block 0 and as block 1 gives them.

    Each displacement counts for itself, or less the longer it is."""
    steps = torch.arange(-RANGE, RANGE + 1, device=x.device, dtype=x.dtype)
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    displacement = torch.stack([right, down]).flatten(1)  # (2, 81), as the cost volume orders them
    ways = x.new_zeros(6, 2, x.shape[1])
    for i, start in enumerate((_BLOCK_1, _BLOCK_0, _MADE)):
        ways[2 * i, :, start : start + _COSTS] = displacement / _COSTS
        ways[2 * i + 1, :, start : start + _COSTS] = displacement / (1 + displacement.square().sum(dim=0)) / _COSTS
    return ways


def _hardly_speak(layer: nn.Conv2d) -> None:
    layer.weight *= _CHANCE
    nn.init.zeros_(cast(Tensor, layer.bias))


def _hand_on_costs(layer: nn.Conv2d, less: float) -> None:
    """Output d is input d summed over 3 x 3 positions, less this part of all 81."""
    own = torch.eye(_COSTS, device=layer.weight.device) - less
    layer.weight[:_COSTS] = 0
    layer.weight[:_COSTS, :_COSTS] = own[:, :, None, None]


def _same_say(module: nn.Module, inputs: tuple[Tensor]) -> None:
    """A decoder's inputs differ a hundredfold in size: weigh each by its deviation. Of the costs only differences
    between displacements count."""
    layer, x = cast(nn.Conv2d, module), inputs[0]
    costs = x[:, :_COSTS]
    contrast = (costs - costs.mean(dim=1, keepdim=True)).std()
    others = x[:, _COSTS:]  # none at the coarsest level
    deviation = (others - others.mean(dim=(0, 2, 3), keepdim=True)).square().mean(dim=(0, 2, 3)).sqrt()
    size = torch.cat([contrast.expand(_COSTS), deviation])
    layer.weight[:, :_COSTS] -= layer.weight[:, :_COSTS].mean(dim=1, keepdim=True)
    layer.weight /= size.clamp_min(1e-2 * float(size.max())).view(1, -1, 1, 1)


def _smooth(layer: nn.Conv2d) -> None:
    """Mostly a blur before every second pixel is dropped: else features change with each pixel the picture moves."""
    tap = torch.tensor([1.0, 2.0, 1.0], device=layer.weight.device) / 4
    mixed = torch.randn(layer.weight.shape[:2], device=layer.weight.device)[:, :, None, None] * (tap[:, None] * tap)
    layer.weight.copy_(layer.weight / layer.weight.std() + _BLUR * mixed / mixed.std())


def _enlarge_bilinearly(layer: nn.ConvTranspose2d) -> None:
    tent = torch.tensor([1.0, 3.0, 3.0, 1.0], device=layer.weight.device) / 4
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(cast(Tensor, layer.bias))
    for channel in (0, 1):
        layer.weight[channel, channel] = tent[:, None] * tent
