"""Computes the rhythm losses of section 3.3: focal (19), and the ablations' BCE and regression.

Targets are soft: 1 on the event, falling off within a frame, so that the curve's shape tells where between two
frames the event lies. With hard 0/1 targets `focal` is exactly (19).
Shapes: B batch; T frames; H rhythm heads. mask (B, T, H) is 1 where the target is known.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal(logits: Tensor, target: Tensor, mask: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Computes (19), -α_t (1 - p_t)^γ log p_t, its two terms weighted by the soft target; mean over the mask."""
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    p = torch.sigmoid(logits)
    event = -alpha * (target - p).abs() ** gamma * target * log_p
    rest = -(1.0 - alpha) * (target - p).abs() ** gamma * (1.0 - target) * log_q
    return masked_mean(event + rest, mask)


def bce(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Computes binary cross-entropy as a mean over the mask."""
    return masked_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), mask)


def regression(logits: Tensor, envelope: Tensor, mask: Tensor) -> Tensor:
    """Computes the squared error of the curve against an envelope in 0..1, as a mean over the mask."""
    return masked_mean((torch.sigmoid(logits) - envelope) ** 2, mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Averages the values where mask is 1; 0 when it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp_min(1.0)
