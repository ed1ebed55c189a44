"""Implements LLA (Cheng et al., Look, listen, and attend: co-attention for audio-visual learning, 2020).

Two streams that attend to each other over time, then two questions: is this the clip's own music (clip matching),
and, in the second stage of the curriculum, is it in time (synchrony). Retrieval scores each pair by the first, since
what it learned lies in the co-attention; classification takes the streams' embeddings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.temporal import Code
from mudar.spec import FeatureSpec
from training.baselines.network import Baseline, Losses, another, classify, rows
from training.data.batches import Batch


class CrossAttention(nn.Module):
    """One stream asks, the other answers: residual attention, then a residual feed-forward, norms before."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, wide = config.d_model, config.d_model * config.feedforward_ratio
        self.heads = config.heads
        self.norm_asks, self.norm_answers, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.kv, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.feedforward = nn.Sequential(nn.Linear(dim, wide), nn.ReLU(), nn.Linear(wide, dim))

    def forward(self, asks: Tensor, answers: Tensor) -> Tensor:
        """(B, T, D) twice to (B, T, D)."""
        q = rearrange(self.q(self.norm_asks(asks)), "b t (h d) -> b h t d", h=self.heads)
        kv = rearrange(self.kv(self.norm_answers(answers)), "b t (two h d) -> two b h t d", two=2, h=self.heads)
        mixed = F.scaled_dot_product_attention(q, kv[0], kv[1])
        asks = asks + self.out(rearrange(mixed, "b h t d -> b t (h d)"))
        return asks + self.feedforward(self.norm_out(asks))


class Lla(Baseline):
    """Attends from each stream to the other and classifies matching and synchrony."""

    def __init__(self, config: ModelConfig, spec: FeatureSpec) -> None:
        super().__init__(config, spec)
        self.dance_asks, self.music_asks = CrossAttention(config), CrossAttention(config)
        self.questions = nn.Sequential(
            nn.Linear(3 * config.d_model, config.d_model), nn.ReLU(), nn.Linear(config.d_model, 2)
        )

    def match(self, dance: Code, music: Code) -> Tensor:
        """(B,) logit of "this is the clip's own music"."""
        return self._answers(dance, music)[:, 0]

    def synchrony(self, dance: Code, music: Code) -> Tensor:
        """(B,) logit of "this is in time"."""
        return self._answers(dance, music)[:, 1]

    def loss(self, batch: Batch) -> Losses:
        """Clip matching and, once the batch has shifted music, synchrony."""
        frames = batch.motion.shape[1]
        dance, music = self.encode_dance(batch.motion, batch.frames), self.encode_music(batch.audio, frames)
        other, there = another(batch.allowed)
        own, foreign = self._answers(dance, music), self._answers(dance, rows(music, other))
        matching = 0.5 * (classify(own[:, 0], 1.0, there) + classify(foreign[:, 0], 0.0, there))
        if batch.shifted is None:
            return matching, {"matching": matching.detach()}
        moved = self._answers(dance, self.encode_music(batch.shifted, frames))
        weight = batch.shifted_allowed
        synchrony = 0.5 * (classify(own[:, 1], 1.0, weight) + classify(moved[:, 1], 0.0, weight))
        return matching + synchrony, {"matching": matching.detach(), "synchrony": synchrony.detach()}

    def _answers(self, dance: Code, music: Code) -> Tensor:
        """(B, 2) logits: own music, in time. The product of the streams lets agreement frame by frame be seen."""
        dance_rows, music_rows = (
            self.dance_asks(dance.sequence, music.sequence),
            self.music_asks(music.sequence, dance.sequence),
        )
        return self.questions(torch.cat([dance_rows, music_rows, dance_rows * music_rows], dim=-1).mean(dim=1))
