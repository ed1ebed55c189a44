"""Computes the feature pyramid of PWC-Net, which is also the paper's visual encoder (3.2). Knows no flow, no music.

Shapes: B pictures; H, W their rows and columns; level l (1, 2, ...) has stride 2^l.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

CHANNELS = (16, 32, 64, 96, 128, 196)  # of PWC-Net; a smaller visual encoder brings its own


class ConvBlock(nn.Sequential):
    """Convolves 3 x 3 without changing the size (at stride 1), then applies LeakyReLU(0.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_in")
        nn.init.zeros_(cast(Tensor, convolution.bias))
        super().__init__(convolution, nn.LeakyReLU(0.1, inplace=True))


class PyramidEncoder(nn.Module):
    """Encodes pictures by three convolutions a level, the first of stride 2."""

    def __init__(self, channels: Sequence[int] = CHANNELS, inputs: int = 3) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.levels = nn.ModuleList()
        for outputs in channels:
            blocks = ConvBlock(inputs, outputs, stride=2), ConvBlock(outputs, outputs), ConvBlock(outputs, outputs)
            self.levels.append(nn.Sequential(*blocks))
            inputs = outputs

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Maps (B, 3, H, W) to the maps of all levels, finest first: (B, channels[l-1], H / 2^l, W / 2^l)."""
        maps: list[Tensor] = []
        for level in self.levels:
            pictures = level(pictures)
            maps.append(pictures)
        return maps
