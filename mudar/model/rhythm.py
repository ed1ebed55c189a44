"""Estimates visual rhythm by (15) of section 3.1.2 and its heads. Losses are in training/losses.

Shapes: B batch; T frames; M motion features; C injected features; U = width of (15)'s features; H rhythm heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.crf import STATES, Crf
from mudar.model.temporal import dilated_stack


def first_difference(x: Tensor) -> Tensor:
    """Computes x_t - x_(t-1) over dim 1, as long as x: the first frame has moved from nowhere, so it is 0."""
    return torch.diff(x, dim=1, prepend=x[:, :1])


class RhythmFeatures(nn.Module):
    """Computes U_mot f'_mot ⊕ U_inj f'_inj of (15) and, if the config says so, a few dilated convolutions over time."""

    def __init__(self, config: ModelConfig, motion_dim: int) -> None:
        super().__init__()
        self.raw = config.estimator_raw
        times = 2 if self.raw else 1
        self.motion = nn.Sequential(nn.Linear(times * motion_dim, config.estimator_dim), nn.ReLU())
        self.injected = nn.Sequential(nn.Linear(times * config.injected_dim, config.estimator_dim), nn.ReLU())
        self.context = dilated_stack(self.dim(config), config.estimator_layers, config.dropout)

    @staticmethod
    def dim(config: ModelConfig) -> int:
        """Returns U, the width of the features."""
        return 2 * config.estimator_dim

    def forward(self, motion: Tensor, injected: Tensor) -> Tensor:
        """Maps (B, T, M) motion and (B, T, C) injected features to (B, T, U)."""
        both = [self.motion(self._with_difference(motion)), self.injected(self._with_difference(injected))]
        return self.context(torch.cat(both, dim=-1))

    def _with_difference(self, x: Tensor) -> Tensor:
        difference = first_difference(x)
        return torch.cat([difference, x], dim=-1) if self.raw else difference


class FrameHead(nn.Module):
    """Computes a logit for each frame by W_e and b_e of (15); focal, BCE and regression losses share it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(RhythmFeatures.dim(config), len(config.rhythm_heads))

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, T, U) to (B, T, H); the curve in 0..1 is their sigmoid."""
        return self.linear(features)


class CrfHead(nn.Module):
    """Decodes strokes by a BiLSTM and an exact CRF: the "w/ CRF" variant."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        wide = RhythmFeatures.dim(config)
        self.heads = len(config.rhythm_heads)
        self.lstm = nn.LSTM(wide, wide // 2, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * (wide // 2), self.heads * STATES)
        self.crf = Crf(self.heads)

    def emissions(self, features: Tensor) -> Tensor:
        """Maps (B, T, U) to emissions (B, T, H, 2)."""
        return self.linear(self.lstm(features)[0]).unflatten(-1, (self.heads, STATES))

    def forward(self, features: Tensor) -> Tensor:
        """Maps (B, T, U) to (B, T, H) log-odds of the marginals, so that the sigmoid is p(stroke at t)."""
        return self.crf.marginal_logits(self.emissions(features))

    def nll(self, features: Tensor, strokes: Tensor) -> Tensor:
        """Computes the negative log-likelihood (B, H) of the (B, T, H) 0/1 strokes."""
        return self.crf.nll(self.emissions(features), strokes.long())

    def decode(self, features: Tensor) -> Tensor:
        """Finds the likeliest 0/1 strokes (B, T, H) by Viterbi."""
        return self.crf.viterbi(self.emissions(features))


def make_head(config: ModelConfig) -> FrameHead | CrfHead:
    """Makes the head that the config names."""
    return CrfHead(config) if config.rhythm_head_kind == "crf" else FrameHead(config)
