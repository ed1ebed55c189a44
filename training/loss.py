"""Computes one step's loss, (20): L = λ1 L_im + λ2 L_ex, of a network and a batch.

Every term is this process's share of the loss of the whole batch, so that shares add up to what one process alone
would have had: embeddings are gathered, so negatives are those of everybody, and means are over everybody's frames.
Nothing here waits for the device: the parts stay tensors until somebody writes them down.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mudar.model.mudar import Mudar
from mudar.model.temporal import Code
from training.baselines.registry import Network
from training.data.batches import Batch
from training.data.pairs import avc_allowed
from training.distributed import DistContext
from training.losses.implicit import info_nce, triplet, triplet_all
from training.losses.rhythm import bce, focal, masked_mean, regression
from training.recipe import LossRecipe, Recipe

Parts = dict[str, Tensor]


class Objective(nn.Module):
    """Joins the network and its loss to one module, for DDP to wrap and torch.compile to see."""

    def __init__(self, network: Network, recipe: Recipe, world: DistContext) -> None:
        super().__init__()
        self.network, self.recipe, self.world = network, recipe, world
        given = dict(recipe.loss.head_weights)
        weights = torch.tensor([given.get(head, 1.0) for head in recipe.model.rhythm_heads], device=world.device)
        self.head_weights: Tensor
        self.register_buffer("head_weights", weights, persistent=False)

    def forward(self, batch: Batch) -> tuple[Tensor, Parts]:
        """This process's share of the loss, and of its parts by name, for the log."""
        if isinstance(self.network, Mudar):
            return _objective(self.network, batch, self.head_weights, self.recipe, self.world)
        loss, parts = self.network.loss(batch)  # of its own clips alone: a mean over processes is what it can give
        return loss / self.world.size, {name: part / self.world.size for name, part in parts.items()}


def _objective(
    model: Mudar, batch: Batch, head_weights: Tensor, recipe: Recipe, world: DistContext
) -> tuple[Tensor, Parts]:
    loss, total = recipe.loss, batch.motion.new_zeros(())
    parts: Parts = {}
    first, frames = len(batch.motion) - len(batch.audio), batch.motion.shape[1]
    maps = None if batch.frames is None else model.maps(batch.frames)  # looked at once, for both pathways
    music = model.encode_music(batch.audio, frames) if len(batch.audio) else None
    if loss.rhythm_weight:
        mean, mask = _rhythm(model, batch, maps, _with_silence(music, first), head_weights, loss)
        # A mean over this process's frames counts as many of everybody's as it has.
        rhythm = mean if world.size == 1 else mean * mask.sum() / world.sum(mask.sum()).clamp_min(1.0)
        total, parts["rhythm"] = total + loss.rhythm_weight * rhythm, rhythm.detach()
    if loss.implicit_weight and music is not None:
        dance_maps = None if maps is None else maps[first:]
        dance = model.encode_dance(batch.motion[first:], dance_maps).embedding
        implicit = _implicit(model, batch, dance.float(), music.embedding.float(), loss, world) / world.size
        total, parts["implicit"] = total + loss.implicit_weight * implicit, implicit.detach()
    return total, parts


def _with_silence(music: Code | None, first: int) -> Code | None:
    """Fills the code up to the batch with zeros for its first clips, which go without music: the gate skips theirs."""
    if music is None:
        return None
    sequence = torch.cat([music.sequence.new_zeros(first, *music.sequence.shape[1:]), music.sequence])
    embedding = torch.cat([music.embedding.new_zeros(first, music.embedding.shape[1]), music.embedding])
    return Code(sequence, embedding)


def _rhythm(
    model: Mudar, batch: Batch, maps: Tensor | None, music: Code | None, weights: Tensor, loss: LossRecipe
) -> tuple[Tensor, Tensor]:
    """Computes the rhythm loss as a mean over the mask, and the mask with the heads' weights."""
    if loss.rhythm == "crf":
        nll = model.rhythm_nll(batch.motion, batch.target, maps, music)
        mask = weights.expand_as(nll)
        mean = masked_mean(nll / batch.motion.shape[1], mask)
    else:
        logits, mask = model.rhythm_logits(batch.motion, maps, music).float(), batch.mask * weights
        if loss.rhythm == "bce":
            mean = bce(logits, batch.target, mask)
        elif loss.rhythm == "regression":
            mean = regression(logits, batch.target, mask)
        else:
            mean = focal(logits, batch.target, mask, loss.focal_alpha, loss.focal_gamma)
    return mean, mask


def _implicit(model: Mudar, batch: Batch, dance: Tensor, music: Tensor, loss: LossRecipe, world: DistContext) -> Tensor:
    """(18) of everybody's clips: AVC against others' music and the hardest found; then AVTS, the own music shifted."""
    everybody_danced, everybody_heard = world.gather(dance), world.gather(music)
    allowed = batch.allowed
    if world.size > 1:
        allowed = avc_allowed(world.gather(batch.onsets), world.gather(batch.songs), loss.onset_alpha)
    if loss.implicit == "infonce":
        avc = info_nce(everybody_danced, everybody_heard, allowed, loss.temperature)
    else:
        avc = triplet_all(everybody_danced, everybody_heard, allowed, loss.margin)

    def against(heard: Tensor, may: Tensor) -> Tensor:
        negative = world.gather(model.encode_music(heard, batch.motion.shape[1]).embedding.float())
        return triplet(everybody_danced, everybody_heard, negative, world.gather(may), loss.margin)

    if batch.hard is not None:
        avc = (1.0 - loss.offline_weight) * avc + loss.offline_weight * against(batch.hard, batch.hard_allowed)
    if batch.shifted is None:
        return avc
    return (1.0 - loss.avts_weight) * avc + loss.avts_weight * against(batch.shifted, batch.shifted_allowed)
