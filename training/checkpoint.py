"""Saves and loads a run: everything that a step changes, in one file that is complete or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from mudar.atomic_write import atomic_path
from mudar.model.config import ModelConfig
from mudar.model.mudar import Mudar, build
from mudar.spec import FeatureSpec
from training.baselines.registry import BASELINES, Network
from training.data.batches import HardNegatives
from training.distributed import SINGLE, DistContext
from training.recipe import Recipe
from training.trainer import State, init_state

NAME = "state.pt"


def save_state(state: State, out: Path) -> None:
    """Writes the state of a run to `out/state.pt`."""
    content: dict[str, Any] = {
        "model": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
    }
    if state.hardest is not None:
        content["hardest"] = torch.from_numpy(state.hardest.clips)
        content["heard_at_s"] = torch.from_numpy(state.hardest.start_s)
    with atomic_path(out / NAME) as unfinished:
        torch.save(content, unfinished)


def load_state(recipe: Recipe, out: Path, world: DistContext = SINGLE) -> State:
    """Loads the run in `out` where it stopped, or starts a new one."""
    state = init_state(recipe, world)
    if (out / NAME).exists():
        content: dict[str, Any] = torch.load(out / NAME, weights_only=True, map_location=world.device)
        state.network.load_state_dict(content["model"])
        state.average.load_state_dict(content["average"])
        state.optimiser.load_state_dict(content["optimiser"])
        state.step = int(content["step"])
        if "hardest" in content:
            state.hardest = HardNegatives(content["hardest"].cpu().numpy(), content["heard_at_s"].cpu().numpy())
    return state


def load_run(folder: Path) -> Mudar:
    """Loads the averaged network of a run's folder."""
    recipe = json.loads((folder / "recipe.json").read_text())
    model = build(ModelConfig.from_dict(recipe["model"]), FeatureSpec.from_dict(recipe["features"]))
    model.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["average"])
    return model.eval()


def load_network(folder: Path) -> Network:
    """Loads the averaged network of a run's folder, MuDaR or a baseline."""
    recipe = json.loads((folder / "recipe.json").read_text())
    kind, config = recipe.get("network", "mudar"), ModelConfig.from_dict(recipe["model"])
    if kind == "mudar":
        return load_run(folder)
    network = BASELINES[kind](config, FeatureSpec.from_dict(recipe["features"]))
    network.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["average"])
    return network.eval()


def save_run(before: Path, out: Path, model: Mudar) -> None:
    """Writes a run's folder with this network as its average, for evaluate and publish to read."""
    recipe = json.loads((before / "recipe.json").read_text())
    recipe["model"] = {**recipe["model"], **model.config.to_dict()}
    recipe["features"] = model.spec.to_dict()
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(recipe, indent=1))
    torch.save({"average": model.state_dict()}, out / "state.pt")
