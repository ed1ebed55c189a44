"""Encodes sequences by section 3.2's K stacked layers over time; both modalities share this encoder.

Knows no pictures and no sound: features in, features out.
Shapes: B batch; T frames; D = d_model; H heads; E = embed_dim.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mudar.model.config import ModelConfig


class Code(NamedTuple):
    """Holds the encoding of a segment's music or dance: sequence (B, T, D), and embedding (B, E) of L2 norm 1."""

    sequence: Tensor
    embedding: Tensor


class SelfAttention(nn.Module):
    """Attends over time with several heads: softmax(Q K' / sqrt(D/H)) V, heads side by side, then W_o."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        q, k, v = self._project(x)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out(rearrange(mixed, "b h t d -> b t (h d)"))

    def weights(self, x: Tensor) -> Tensor:
        """Computes attention weights (B, H, T, T), row t those of frame t; for inspection, slow."""
        q, k, _ = self._project(x)
        return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        return q, k, v


class TransformerLayer(nn.Module):
    """Applies self-attention, feed-forward, layer norm and residual; the norm before or after (the paper: after)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, wide = config.d_model, config.d_model * config.feedforward_ratio
        self.norm_first = config.norm_first
        self.attention = SelfAttention(dim, config.heads, config.dropout)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, wide), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(wide, dim)
        )
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        if self.norm_first:
            x = x + self.drop(self.attention(self.norm1(x)))
            return x + self.drop(self.feedforward(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x)))
        return self.norm2(x + self.drop(self.feedforward(x)))


class DilatedLayer(nn.Module):
    """Convolves 3 frames, `dilation` apart, with a residual; 2^i in layer i makes the receptive field exponential."""

    def __init__(self, dim: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.convolution = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, T, D) to (B, T, D)."""
        wide = self.convolution(self.norm(x).transpose(1, 2)).transpose(1, 2)  # (B, T, D)
        return x + self.drop(self.mix(F.gelu(wide)))


def dilated_stack(dim: int, layers: int, dropout: float) -> nn.Sequential:
    """Builds a temporal convolutional network with a receptive field of 2^(layers+1) - 1 frames."""
    return nn.Sequential(*[DilatedLayer(dim, 2**i, dropout) for i in range(layers)])


def positions(frames: int, dim: int, like: Tensor) -> Tensor:
    """Computes (T, D) sinusoids as position encodings (Vaswani et al. 2017), for any T."""
    t = torch.arange(frames, device=like.device, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, device=like.device) * (-math.log(10_000.0) / dim))
    table = torch.stack([torch.sin(t * rate), torch.cos(t * rate)], dim=-1)  # (T, D/2, 2)
    return table.reshape(frames, -1)[:, :dim].to(like.dtype)


class SequenceEncoder(nn.Module):
    """Encodes features of music or dance: project, add positions, K layers; the embedding is made of their mean."""

    def __init__(self, input_dim: int, config: ModelConfig) -> None:
        super().__init__()
        dim = config.d_model
        self.project = nn.Linear(input_dim, dim)
        self.norm_in, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = nn.Dropout(config.dropout)
        if config.temporal_network == "tcn":
            self.layers = dilated_stack(dim, config.layers, config.dropout)
        else:
            self.layers = nn.Sequential(*[TransformerLayer(config) for _ in range(config.layers)])
        self.embed = nn.Linear(dim, config.embed_dim)

    def forward(self, x: Tensor) -> Code:
        """Encodes (B, T, input_dim) to a Code of (B, T, D) and (B, E)."""
        x = self.norm_in(self.project(x))  # (B, T, D)
        x = self.drop(x + positions(x.shape[1], x.shape[2], x))
        sequence = self.norm_out(self.layers(x))
        return Code(sequence, F.normalize(self.embed(sequence.mean(dim=1)), dim=-1))
