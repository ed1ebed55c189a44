"""Encodes music as in section 3.2: several 2-D convolutions, then K temporal layers. Knows no files, no dance.

Shapes: B batch; Ta audio frames; F audio features; T model frames; C channels; D = d_model.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.temporal import Code, SequenceEncoder


class MusicEncoder(nn.Module):
    """Encodes [mel | onset | beat | tempogram] of a window to its Code, T frames long."""

    def __init__(self, config: ModelConfig, audio_dim: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels, rows = 1, audio_dim
        for wide, stride in zip(config.audio_channels, config.audio_time_strides, strict=True):
            blocks += [
                nn.Conv2d(channels, wide, 3, stride=(stride, 2), padding=1),
                nn.GroupNorm(1, wide),  # per window: the same in any batch
                nn.LeakyReLU(0.1),
            ]
            channels, rows = wide, (rows + 1) // 2
        self.convolutions = nn.Sequential(*blocks)
        self.encoder = SequenceEncoder(channels * rows, config)

    def forward(self, audio: Tensor, frames: int) -> Code:
        """Encodes (B, Ta, F) normalised music input to `frames` model frames that span the same time."""
        x = self.convolutions(audio[:, None])  # (B, C, Ta', F')
        x = rearrange(x, "b c t f -> b (c f) t")
        x = F.adaptive_avg_pool1d(x, frames)  # (B, C F', T)
        return self.encoder(x.transpose(1, 2))
