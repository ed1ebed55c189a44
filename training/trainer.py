"""Trains a network one step at a time, with its optimiser and the average of its weights, on any number of processes.

Whatever is random in step n follows from (seed, n) alone. With several processes (torch's DDP) each computes its part
of the same whole batch, so a run gives the same losses, but for rounding, on one process and on many.
"""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from mudar.model.dance import FrameMaps
from mudar.model.temporal import DilatedLayer, TransformerLayer
from training.baselines.registry import Network, build_network
from training.data.batches import Batch, HardNegatives
from training.distributed import SINGLE, DistContext
from training.loss import Objective, Parts
from training.recipe import EngineRecipe, OptimiserRecipe, Recipe


@dataclass
class State:
    """Holds everything that a step changes, and the module that computes it."""

    network: Network
    average: Network
    optimiser: torch.optim.AdamW
    step: int
    world: DistContext
    module: nn.Module  # the network with its loss, compiled and spread over processes as the recipe says
    hardest: HardNegatives | None = None


def init_state(recipe: Recipe, world: DistContext = SINGLE) -> State:
    """Initialises a run that has not begun."""
    network = build_network(recipe).to(world.device)
    if network.frame_maps is not None and world.device.type == "cuda":
        # What tensor cores read without turning it round.
        network.frame_maps.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    plain = recipe.optimiser
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=plain.learning_rate, weight_decay=plain.weight_decay, fused=True
    )
    return State(network, average, optimiser, 0, world, _module(network, recipe, world))


def _module(network: Network, recipe: Recipe, world: DistContext) -> nn.Module:
    if recipe.engine.activation_checkpointing:
        _activation_checkpointing(network)
    module: nn.Module = Objective(network, recipe, world)
    if recipe.engine.compiled != "no":
        module = cast(nn.Module, torch.compile(module, mode=recipe.engine.compiled, dynamic=False))
    if world.size == 1:
        return module
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(
        module, devices, find_unused_parameters=_may_be_idle(recipe), gradient_as_bucket_view=True
    )


def _may_be_idle(recipe: Recipe) -> bool:
    """Whether some weight may have no gradient in some step: without music, or with a pathway left out."""
    loss, gate = recipe.loss, recipe.model.audio_gate_share
    every_step_uses_all = loss.rhythm_weight and loss.implicit_weight and 0 < gate < 1 and recipe.data.joint_every == 1
    return recipe.network != "mudar" or not every_step_uses_all


def _activation_checkpointing(network: nn.Module) -> None:
    """Lets the large modules compute their activations again in the backward pass instead of storing them."""
    for piece in network.modules():
        if isinstance(piece, TransformerLayer | DilatedLayer):
            piece.forward = partial(checkpoint, piece.forward, use_reentrant=False)  # type: ignore[method-assign]
        elif isinstance(piece, FrameMaps):
            piece.encode = partial(checkpoint, piece.encode, use_reentrant=False)  # type: ignore[method-assign]


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Computes the learning rate: linear warm-up, then a cosine to zero, falls at shares of the run, or a constant."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.falls_by ** sum(step >= at * recipe.steps for at in recipe.falls_at)
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def train_step(state: State, batches: list[Batch], recipe: Recipe) -> Parts:
    """Takes one step on this process's part of the batch, in `engine.accumulate` micro-batches.

    Returns this process's share of the loss and of its parts, still on the device.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe.optimiser, state.step)
    state.network.train()
    state.optimiser.zero_grad(set_to_none=True)
    total: Parts = {}
    for piece, batch in enumerate(batches):
        for name, part in _backward(state, batch, recipe, piece, len(batches)).items():
            total[name] = total[name] + part if name in total else part
    nn.utils.clip_grad_norm_(state.network.parameters(), recipe.optimiser.clip_norm)
    state.optimiser.step()
    _update_ema(state.average, state.network, min(recipe.optimiser.ema, (1 + state.step) / (10 + state.step)))
    state.step += 1
    return total


def _backward(state: State, batch: Batch, recipe: Recipe, piece: int, pieces: int) -> Parts:
    """Add the gradients of one piece; its share of the losses."""
    world, module = state.world, state.module
    exchanged = world.size == 1 or piece == pieces - 1
    quiet = nullcontext() if exchanged else cast(DistributedDataParallel, module).no_sync()
    with quiet, torch.random.fork_rng(devices=[]):
        torch.manual_seed((recipe.seed * 1_000_003 + state.step) * 1009 + piece * world.size + world.rank)
        with _precision(recipe.engine, world.device):
            loss, parts = module(batch)
        # DDP takes the mean over processes where the shares of a loss are to be added.
        torch.autograd.backward(loss * (world.size / pieces))
    return {name: part / pieces for name, part in {"loss": loss.detach(), **parts}.items()}


def _precision(engine: EngineRecipe, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16, enabled=engine.precision == "bf16")


@torch.no_grad()
def _update_ema(average: nn.Module, network: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - keep)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


def gradient_bytes(network: nn.Module) -> int:
    """Counts what one process sends, at least, in one all-reduce of all gradients."""
    return sum(weight.numel() * weight.element_size() for weight in network.parameters())
