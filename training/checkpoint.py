"""A run on disk, to go on from: everything that a step changes, in one file that is whole or not there at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mudar.atomic_write import atomic_path
from training.data.batches import HardNegatives
from training.distributed import SINGLE, DistContext
from training.recipe import Recipe
from training.trainer import State, init_state

NAME = "state.pt"


def save_state(state: State, out: Path) -> None:
    """Write `out/state.pt`."""
    kept: dict[str, Any] = {
        "model": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
    }
    if state.hardest is not None:
        kept["hardest"] = torch.from_numpy(state.hardest.clips)
        kept["heard_at_s"] = torch.from_numpy(state.hardest.start_s)
    with atomic_path(out / NAME) as unfinished:
        torch.save(kept, unfinished)


def load_state(recipe: Recipe, out: Path, world: DistContext = SINGLE) -> State:
    """The run in `out` where it stopped, or a fresh one."""
    state = init_state(recipe, world)
    if (out / NAME).exists():
        kept: dict[str, Any] = torch.load(out / NAME, weights_only=True, map_location=world.device)
        state.network.load_state_dict(kept["model"])
        state.average.load_state_dict(kept["average"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.step = int(kept["step"])
        if "hardest" in kept:
            state.hardest = HardNegatives(kept["hardest"].cpu().numpy(), kept["heard_at_s"].cpu().numpy())
    return state
