"""Builds the network that a recipe names: MuDaR itself, or one of the systems that it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from mudar.model import mudar
from mudar.model.mudar import Mudar
from training.baselines.avts import Avts
from training.baselines.lla import Lla
from training.baselines.multisensory import Multisensory
from training.baselines.network import Baseline
from training.recipe import Recipe

Network = Mudar | Baseline
BASELINES: Final[dict[str, type[Baseline]]] = {"multisensory": Multisensory, "avts": Avts, "lla": Lla}


def build_network(recipe: Recipe) -> Network:
    """The recipe's network with fresh weights, which depend on its seed alone."""
    if recipe.network == "mudar":
        return mudar.build(recipe.model, recipe.features, recipe.seed)
    make: Callable[..., Baseline] = BASELINES[recipe.network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return make(recipe.model, recipe.features)
