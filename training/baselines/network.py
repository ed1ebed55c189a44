"""Defines what every baseline shares: a dance stream, a music stream, and a score of how well two codes fit.

The streams are the core's own encoders with convolutions over time in place of attention (all three papers are
convolutional there), so that a baseline differs from MuDaR in its fusion and its loss and in nothing else. None
estimates a rhythm: retrieval uses the score alone, as in the paper's comparison. Knows no files and no optimiser.

Shapes: B clips; T frames; M motion; Ta, F audio; D = d_model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.dance import DanceEncoder, FrameMaps
from mudar.model.music import MusicEncoder
from mudar.model.temporal import Code
from mudar.spec import FeatureSpec
from training.data.batches import Batch

Losses = tuple[Tensor, dict[str, Tensor]]


class Baseline(nn.Module, ABC):
    """Two streams; what becomes of their codes is each paper's own."""

    def __init__(self, config: ModelConfig, spec: FeatureSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.frame_maps = FrameMaps(config) if "rgb" in config.visual_inputs else None
        self.dance = DanceEncoder(config, spec.video)
        self.music = MusicEncoder(config, spec.audio.input_dim)

    def encode_dance(self, motion: Tensor, frames: Tensor | None = None) -> Code:
        """(B, T, M) motion, with frames (B, T, 3, S, S) where the config looks at them, to a Code."""
        return self.dance(motion, None if self.frame_maps is None or frames is None else self.frame_maps(frames))

    def encode_music(self, audio: Tensor, frames: int | None = None) -> Code:
        """(B, Ta, F) music input to a Code of `frames` model frames (default: as many as last as long)."""
        usual = round(audio.shape[1] / self.spec.audio.frame_rate_hz * self.spec.video.fps)
        return self.music(audio, frames or max(usual, 1))

    def match(self, dance: Code, music: Code) -> Tensor:
        """(B,) how well each dance fits the music beside it; higher is better."""
        return (dance.embedding * music.embedding).sum(dim=-1)

    def synchrony(self, dance: Code, music: Code) -> Tensor:
        """(B,) how well in time each dance is with the music beside it, for networks that tell this apart."""
        return self.match(dance, music)

    @abstractmethod
    def loss(self, batch: Batch) -> Losses:
        """The loss of a batch whose clips are all heard, and its parts by name."""


def classify(logits: Tensor, answer: float, weight: Tensor) -> Tensor:
    """Binary cross-entropy of (B,) logits against one answer for all, as a mean with (B,) weights. Scalar."""
    loss = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer), reduction="none")
    return (loss * weight).sum() / weight.sum().clamp_min(1.0)


def another(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """For each clip the next one of the batch that may be its negative, (B,), and 1 where there is one, (B,)."""
    count = len(allowed)
    index = torch.arange(count, device=allowed.device)
    following = (index[:, None] + torch.arange(1, max(count, 2), device=allowed.device)) % count  # (B, B - 1)
    open_to = allowed.gather(1, following)
    first = open_to.float().argmax(dim=1, keepdim=True)
    return following.gather(1, first)[:, 0], open_to.any(dim=1).float()


def rows(code: Code, chosen: Tensor) -> Code:
    """Some clips of a Code."""
    return Code(code.sequence[chosen], code.embedding[chosen])
