"""Mines hard negatives for the triplet (18): the music that the network now takes for a clip's own.

Now and then every clip is looked at and heard once, in a window of its own; each process encodes its share of the
clips, the music of all is gathered, and each clip keeps the K nearest of those that (16) allows. Which windows follows
from (seed, step) alone, so a run that goes on finds the same.
Shapes: C clips, of which this process has c; E embedding; T frames; K kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.baselines.registry import Network
from training.data import windows as read
from training.data.augment import draw, make_plan
from training.data.batches import HardNegatives, Source
from training.data.pairs import avc_allowed
from training.data.windows import WindowCoordinates
from training.distributed import DistContext
from training.recipe import Augmentation, Recipe

Ints = NDArray[np.int64]
_CLIPS_AT_ONCE = 64
_ROWS_AT_ONCE = 1024  # of the table of all pairs


@dataclass(frozen=True)
class MusicEmbeddings:
    """Holds some clips' embeddings (c, E), onsets (c, T), songs (c,), window starts (c,) in seconds."""

    dance: Tensor
    music: Tensor
    onsets: Tensor
    songs: Tensor
    start_s: Tensor


def should_mine(recipe: Recipe, step: int) -> bool:
    """Decides whether negatives are mined before this step; never before the first period, when all seem alike."""
    every = recipe.loss.offline_every
    return bool(every and recipe.loss.implicit_weight and step and step % every == 0)


def mine(network: Network, source: Source, recipe: Recipe, step: int, world: DistContext) -> HardNegatives:
    """Mines the hardest allowed negatives of every clip, the same in every process."""
    rows = -(-len(source) // world.size)
    # Every process takes as many, so that they can be gathered; the last ones come round to the first clips again.
    own = (np.arange(rows) + rows * world.rank) % len(source)
    mine = embed_clips(network, source, own, recipe, step)
    music, onsets, songs, start_s = (
        world.gather(part)[: len(source)] for part in (mine.music, mine.onsets, mine.songs, mine.start_s)
    )
    keep = min(recipe.loss.offline_keep, len(source))
    nearest = []
    for first in range(0, rows, _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        likeness = mine.dance[some] @ music.T
        allowed = avc_allowed(mine.onsets[some], mine.songs[some], recipe.loss.onset_alpha, onsets, songs)
        best = likeness.masked_fill(~allowed, -2.0).topk(keep, dim=1)
        nearest.append(best.indices.masked_fill(best.values < -1.5, -1))
    every = world.gather(torch.cat(nearest))[: len(source)]
    return HardNegatives(every.cpu().numpy(), start_s.cpu().numpy())


@torch.inference_mode()
def embed_clips(
    network: Network, source: Source, clips: NDArray[np.int64], recipe: Recipe, step: int
) -> MusicEmbeddings:
    """Runs one window of each of `clips`, not augmented, through the network."""
    unaugmented = replace(recipe, data=replace(recipe.data, augmentation=Augmentation()))
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    parts = [
        _embed_clips(network, source, clips[first : first + _CLIPS_AT_ONCE], unaugmented, step)
        for first in range(0, len(clips), _CLIPS_AT_ONCE)
    ]
    network.train(was_training)
    return MusicEmbeddings(
        *(torch.cat([getattr(p, name) for p in parts]).to(device) for name in MusicEmbeddings.__annotations__)
    )


def _embed_clips(
    network: Network, source: Source, clips: NDArray[np.int64], recipe: Recipe, step: int
) -> MusicEmbeddings:
    spec, device = recipe.features, next(network.parameters()).device
    # Drawn for each clip by its own number: the same window, whichever process looks at it.
    draws = draw(np.random.default_rng([recipe.seed, 47, step]), int(clips.max()) + 1, spec, Augmentation())
    table, rows = source.open(clips, spec, device)
    plan = make_plan(draws.part(clips), rows, table, spec, Augmentation())
    coordinates = WindowCoordinates.of(plan, table, spec)
    motion, _ = read.motion(table, coordinates, plan)
    frames = None
    if recipe.model.needs_frames:
        frames = read.pictures(table, coordinates, plan).to(device)
    return MusicEmbeddings(
        dance=network.encode_dance(motion, frames).embedding.float(),
        music=network.encode_music(read.audio(table, coordinates), motion.shape[1]).embedding.float(),
        onsets=read.soft_events(table, coordinates, ("onset",), 0.0)[..., 0],
        songs=table.songs[coordinates.clips],
        start_s=coordinates.start_s[:, 0],
    )
