"""One step's loss, (20): L = λ1 L_im + λ2 L_ex, of a network and a batch. Knows no files and no optimiser.

Nothing here waits for the device: the parts stay tensors until somebody writes them down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mudar.model.mudar import Mudar
from mudar.model.temporal import Code
from training.baselines.network import Baseline
from training.baselines.registry import Network
from training.data.batches import Batch
from training.losses.implicit import info_nce, triplet, triplet_all
from training.losses.rhythm import bce, focal, masked_mean, regression
from training.recipe import LossRecipe, Recipe


def objective(model: Network, batch: Batch, recipe: Recipe) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss to go down, and its parts by name, for the log; a baseline brings its own."""
    if isinstance(model, Baseline):
        return model.loss(batch)
    loss, total = recipe.loss, batch.motion.new_zeros(())
    parts: dict[str, Tensor] = {}
    first, frames = len(batch.motion) - len(batch.audio), batch.motion.shape[1]
    music = model.encode_music(batch.audio, frames) if len(batch.audio) else None
    if loss.rhythm_weight:
        rhythm = _rhythm(model, batch, _with_silence(music, first), recipe)
        total, parts["rhythm"] = total + loss.rhythm_weight * rhythm, rhythm.detach()
    if loss.implicit_weight and music is not None:
        dance = model.encode_dance(batch.motion[first:]).embedding
        implicit = _implicit(model, batch, dance, music.embedding, loss)
        total, parts["implicit"] = total + loss.implicit_weight * implicit, implicit.detach()
    return total, parts


def _with_silence(music: Code | None, first: int) -> Code | None:
    """The code of a whole batch whose first clips go unheard: the gate never looks at theirs."""
    if music is None:
        return None
    sequence = torch.cat([music.sequence.new_zeros(first, *music.sequence.shape[1:]), music.sequence])
    embedding = torch.cat([music.embedding.new_zeros(first, music.embedding.shape[1]), music.embedding])
    return Code(sequence, embedding)


def _rhythm(model: Mudar, batch: Batch, music: Code | None, recipe: Recipe) -> Tensor:
    loss, heads = recipe.loss, recipe.model.rhythm_heads
    given = dict(loss.head_weights)
    weights = torch.tensor([given.get(head, 1.0) for head in heads], device=batch.motion.device)
    if loss.rhythm == "crf":
        nll = model.rhythm_nll(batch.motion, batch.target, music=music)
        return masked_mean(nll / batch.motion.shape[1], weights.expand_as(nll))
    logits, mask = model.rhythm_logits(batch.motion, music=music), batch.mask * weights
    if loss.rhythm == "bce":
        return bce(logits, batch.target, mask)
    if loss.rhythm == "regression":
        return regression(logits, batch.target, mask)
    return focal(logits, batch.target, mask, loss.focal_alpha, loss.focal_gamma)


def _implicit(model: Mudar, batch: Batch, dance: Tensor, music: Tensor, loss: LossRecipe) -> Tensor:
    """AVC against the other clips' music; once AVTS has begun also against the own music, shifted."""
    if loss.implicit == "infonce":
        avc = info_nce(dance, music, batch.allowed, loss.temperature)
    else:
        avc = triplet_all(dance, music, batch.allowed, loss.margin)
    if batch.shifted is None:
        return avc
    negative = model.encode_music(batch.shifted, batch.motion.shape[1]).embedding
    avts = triplet(dance, music, negative, batch.shifted_allowed, loss.margin)
    return 0.5 * (avc + avts)
