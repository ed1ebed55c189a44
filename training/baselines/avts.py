"""Implements AVTS (Korbar, Tran & Torresani, Cooperative learning of audio and video models, 2018).

Two streams and the contrastive loss with a margin: L = y d² + (1 - y) [η - d]²_+, d the distance of the embeddings.
A curriculum: first only easy negatives (the sound of other clips), then a quarter of hard ones (the clip's own sound
at another time). Retrieval by the embeddings.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.baselines.network import Baseline, Losses
from training.data.batches import Batch

MARGIN: Final = 0.99  # η of their section 3.1
HARD_SHARE: Final = 0.25  # of the negatives, in the curriculum's second stage


class Avts(Baseline):
    """Trains two streams by a contrastive loss on distances, easy negatives first."""

    def loss(self, batch: Batch) -> Losses:
        """Positives, easy negatives and, once the batch has shifted music, hard ones."""
        frames = batch.motion.shape[1]
        dance = self.encode_dance(batch.motion, batch.frames).embedding
        music = self.encode_music(batch.audio, frames).embedding
        near = (dance - music).square().sum(dim=-1).mean()
        far = _repelled(torch.cdist(dance[None], music[None])[0], batch.allowed.float())
        parts = {"near": near, "far": far}
        if batch.shifted is not None:
            moved = self.encode_music(batch.shifted, frames).embedding
            parts["hard"] = _repelled((dance - moved).norm(dim=-1), batch.shifted_allowed)
            far = (1 - HARD_SHARE) * far + HARD_SHARE * parts["hard"]
        return near + far, {name: part.detach() for name, part in parts.items()}


def _repelled(distance: Tensor, weight: Tensor) -> Tensor:
    """[η - d]²_+ as a mean with weights of the same shape. Scalar."""
    return (F.relu(MARGIN - distance).square() * weight).sum() / weight.sum().clamp_min(1.0)
