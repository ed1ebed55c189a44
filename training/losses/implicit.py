"""Computes the implicit pathway's losses, section 3.2: triplet (18), and InfoNCE as an option.

Shapes: B pairs; E embedding. Embeddings have norm 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def triplet(dance: Tensor, positive: Tensor, negative: Tensor, allowed: Tensor, margin: float = 0.4) -> Tensor:
    """Computes (18), Σ [‖v - a+‖² - ‖v - a-‖² + margin]_+, as a mean over the `allowed` (B,) pairs of (B, E)."""
    near = (dance - positive).square().sum(-1)
    far = (dance - negative).square().sum(-1)
    loss = F.relu(near - far + margin)
    return (loss * allowed).sum() / allowed.sum().clamp_min(1.0)


def triplet_all(dance: Tensor, music: Tensor, allowed: Tensor, margin: float = 0.4) -> Tensor:
    """Computes (18) of (B, E) as a mean over every negative that `allowed` (B, B) lets pass.

    Taking only the hardest negative of a batch from the first step on makes all embeddings the same (measured).
    """
    distances = 2.0 - 2.0 * dance @ music.T  # (B, B) squared distances of unit vectors
    loss = F.relu(distances.diagonal()[:, None] - distances + margin)
    return (loss * allowed).sum() / allowed.sum().clamp_min(1)


def info_nce(dance: Tensor, music: Tensor, allowed: Tensor, temperature: float = 0.1) -> Tensor:
    """Computes both directions' cross-entropy of the true pair among its `allowed` (B, B) negatives."""
    logits = dance @ music.T / temperature
    keep = allowed | torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(~keep, -1e4)
    truth = torch.arange(len(logits), device=logits.device)
    columns = logits.T.masked_fill(~keep.T, -1e4)
    return 0.5 * (F.cross_entropy(logits, truth) + F.cross_entropy(columns, truth))
