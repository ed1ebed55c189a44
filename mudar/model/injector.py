"""Implements section 3.1.2's RGB injector: audio dropout gate, audio-guided visual attention, self-attention, (5)-(14).

It works on any map of k positions: the pyramid's (the paper), or the cells of the flow. Knows neither.
Shapes: B batch; T frames; k positions; C channels; D = width of the music sequence; N = B T.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from mudar.model.temporal import SelfAttention


class Agva(nn.Module):
    """Attends to channels, then to positions, that go with the music: audio-guided visual attention, (5)-(8)."""

    def __init__(self, channels: int, audio_dim: int) -> None:
        super().__init__()
        self.audio_channel, self.visual_channel = _relu(audio_dim, channels), _relu(channels, channels)
        self.u1, self.w1 = _relu(channels, channels), nn.Linear(channels, channels)
        self.audio_space, self.visual_space = _relu(audio_dim, channels), _relu(channels, channels)
        self.w2 = nn.Linear(channels, 1)

    def forward(self, maps: Tensor, audio: Tensor) -> Tensor:
        """Maps (B, T, k, C) maps and (B, T, D) audio to (B, T, C): Σ_i w^s_i (w^c ⊙ f^i)."""
        chosen = maps * self.channel_weights(maps, audio)[:, :, None]  # (6)
        return (self.position_weights(chosen, audio)[..., None] * chosen).sum(dim=2)  # (8)

    def channel_weights(self, maps: Tensor, audio: Tensor) -> Tensor:
        """Weighs channels, (B, T, C) in 0..1, by the mean over positions of the maps weighted by the audio: (5)."""
        weighted = self.audio_channel(audio)[:, :, None] * self.visual_channel(maps)  # (B, T, k, C)
        return torch.sigmoid(self.w1(self.u1(reduce(weighted, "b t k c -> b t c", "mean"))))

    def position_weights(self, chosen: Tensor, audio: Tensor) -> Tensor:
        """Weighs positions, (B, T, k) that sum to 1: (7)."""
        weighted = self.audio_space(audio)[:, :, None] * self.visual_space(chosen)
        return torch.softmax(torch.tanh(self.w2(weighted)).squeeze(-1), dim=-1)


class Injector(nn.Module):
    """Computes f_inj of (14), with or without music.

    In training the first b·p clips of a batch go without music and the rest with it, (10)-(13), so that the head
    learns both. The paper's Concat puts the deaf part last; we keep the clips in their order, beside their targets.
    In evaluation all clips go with the music when there is any.
    """

    def __init__(self, cells: int, channels: int, audio_dim: int, heads: int, deaf_share: float) -> None:
        super().__init__()
        self.deaf_share = deaf_share
        self.agva = Agva(channels, audio_dim)
        self.without = nn.Linear(cells * channels, channels)  # Linear(Tile(f)), (12)
        self.attention = SelfAttention(channels, heads)

    def forward(self, maps: Tensor, audio: Tensor | None = None) -> Tensor:
        """Maps (B, T, k, C) maps and (B, T, D) audio, if any, to (B, T, C)."""
        return self.attention(self.gated(maps, audio))

    def gated(self, maps: Tensor, audio: Tensor | None) -> Tensor:
        """Computes f_a:rgb of (13), before the attention over time: (B, T, C)."""
        deaf = self.deaf_clips(maps.shape[0], audio is not None)
        parts = []
        if deaf:
            parts.append(self.without(rearrange(maps[:deaf], "b t k c -> b t (k c)")))
        if audio is not None and deaf < maps.shape[0]:
            parts.append(self.agva(maps[deaf:], audio[deaf:]))
        return torch.cat(parts)

    def deaf_clips(self, batch: int, has_music: bool) -> int:
        """Counts the clips, from the front of the batch, that go without music."""
        if not has_music:
            return batch
        return round(batch * self.deaf_share) if self.training else 0


def _relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
