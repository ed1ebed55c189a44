"""Implements Multisensory (Owens & Efros, Audio-visual scene analysis with multisensory features, 2018).

Early fusion: the two streams are laid side by side in time, convolved together, pooled, and one logit says whether
the sound is the clip's own at this moment or was shifted. Its streams before the fusion are never asked to be alike,
so retrieval scores each pair by this logit; classification takes the streams' pooled features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.temporal import Code
from mudar.spec import FeatureSpec
from training.baselines.network import Baseline, Losses, classify
from training.data.batches import Batch

_FUSED_STRIDES = (1, 2, 2)


class Multisensory(Baseline):
    """Fuses both streams early and classifies whether the music is in time."""

    def __init__(self, config: ModelConfig, spec: FeatureSpec) -> None:
        super().__init__(config, spec)
        layers: list[nn.Module] = []
        inputs, wide = 2 * config.d_model, config.d_model
        for stride in _FUSED_STRIDES:
            layers += [nn.Conv1d(inputs, wide, 5, stride, padding=2), nn.GroupNorm(1, wide), nn.ReLU()]
            inputs = wide
        self.fused = nn.Sequential(*layers)
        self.aligned = nn.Linear(wide, 1)

    def match(self, dance: Code, music: Code) -> Tensor:
        """(B,) logit of "this sound belongs to this moment"."""
        both = torch.cat([dance.sequence, music.sequence], dim=-1).transpose(1, 2)  # (B, 2D, T)
        return self.aligned(self.fused(both).mean(dim=-1))[:, 0]

    def loss(self, batch: Batch) -> Losses:
        """Aligned against shifted, half each. Raises ValueError for a batch without shifted music."""
        if batch.shifted is None:
            raise ValueError("Multisensory learns from shifted music alone: its recipe needs avts_from = 0")
        frames = batch.motion.shape[1]
        dance = self.encode_dance(batch.motion, batch.frames)
        own = self.match(dance, self.encode_music(batch.audio, frames))
        moved = self.match(dance, self.encode_music(batch.shifted, frames))
        weight = batch.shifted_allowed
        aligned, shifted = classify(own, 1.0, weight), classify(moved, 0.0, weight)
        return 0.5 * (aligned + shifted), {"aligned": aligned.detach(), "shifted": shifted.detach()}
