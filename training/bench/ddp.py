"""Measures what it costs to train in several processes: `torchrun --nproc-per-node 2 -m training.bench.ddp`.

Each process takes steps alone, all at the same time, then steps with the others on the same clips a process; in turns,
so that other work on the machine weighs on both. Prints the time of a common step over that of the slower one alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from rich.console import Console

from training.bench.step import noise
from training.data.batches import Batch, Mixture, Part, make_batch
from training.distributed import DistContext, init_distributed
from training.recipe import Recipe
from training.recipes import registry
from training.trainer import State, init_state, train_step


def ratio(recipe: Recipe, world: DistContext, rounds: int, steps: int) -> tuple[float, float, float]:
    """Median ratio, and the median seconds of a step alone (the slower process's) and together."""
    shared_recipe = replace(recipe, data=replace(recipe.data, batch=recipe.data.batch * world.size))
    source = Mixture(noise(recipe), [], 0.0, 0.5)
    ways = [
        (init_state(recipe, DistContext(device=world.device)), make_batch(source, recipe, 0, world.device), recipe),
        (
            init_state(shared_recipe, world),
            make_batch(source, shared_recipe, 0, world.device, Part(world.rank, world.size)),
            shared_recipe,
        ),
    ]
    for state, batch, what in ways:
        _seconds(state, batch, what, world, 2)
    pairs = [[_seconds(*way, world, steps) for way in ways] for _ in range(rounds)]
    alone, common = torch.tensor(pairs, dtype=torch.float64).T
    return float((common / alone).median()), float(alone.median()), float(common.median())


def _seconds(state: State, batch: Batch, recipe: Recipe, world: DistContext, steps: int) -> float:
    """Of a step, in the slowest process."""
    world.wait()
    began = time.perf_counter()
    for _ in range(steps):
        train_step(state, [batch], recipe)
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
    spent = torch.zeros(world.size, dtype=torch.float64, device=world.device)
    spent[world.rank] = (time.perf_counter() - began) / steps
    return float(world.sum(spent).max())


def main() -> None:
    """Measures the recipe that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="small-synthetic")
    parser.add_argument("--batch", type=int, default=32, help="clips of each process")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="in each turn")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    args = parser.parse_args()
    torch.set_num_threads(1)
    recipe = registry.get(args.recipe)
    recipe = replace(recipe, data=replace(recipe.data, batch=args.batch, joint_every=1))
    with init_distributed(args.device) as world:
        ratio_of_steps, alone_s, common_s = ratio(recipe, world, args.rounds, args.steps)
        if world.is_main:
            Console().print(
                f"{recipe.name}, {args.batch} clips on each of {world.size}: {1e3 * alone_s:.0f} ms a step alone, "
                f"{1e3 * common_s:.0f} ms together: {ratio_of_steps:.2f}x"
            )


if __name__ == "__main__":
    main()
