"""Measures whether the loader keeps up with the network, in clips a second of one core.

    python -m training.bench.loader data/shards --recipe small
    python -m training.bench.loader data/shards --recipe paper/dis --batch 4

Seconds are processor seconds, so that other work on the machine does not count. Records in memory (`--records DIR`)
are measured the same way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from training.data.batches import Mixture, Source, make_batch
from training.data.records import RecordStore
from training.data.shards import Shards
from training.recipe import Recipe
from training.recipes import registry
from training.trainer import init_state, train_step


@dataclass(frozen=True)
class Rates:
    """Clips a processor second: read and made into batches; and through a training step."""

    loader: float
    network: float

    @property
    def ratio(self) -> float:
        """How many times faster batches are made than used."""
        return self.loader / self.network


def measure(source: Source, recipe: Recipe, steps: int) -> Rates:
    """Both, over steps that hear music and steps that do not, as the recipe mixes them."""
    make_batch(source, recipe, 0)
    loader_s = _cpu_s(lambda step: make_batch(source, recipe, step), steps)
    state = init_state(recipe)
    batches = [make_batch(source, recipe, step) for step in range(recipe.data.joint_every)]
    train_step(state, [batches[0]], recipe)
    state.step = 0
    network_s = _cpu_s(lambda step: train_step(state, [batches[step % len(batches)]], recipe), steps)
    return Rates(steps * recipe.data.batch / loader_s, steps * recipe.data.batch / network_s)


def _cpu_s(do: Callable[[int], object], steps: int) -> float:
    began = time.process_time()
    for step in range(steps):
        do(step)
    return time.process_time() - began


def main() -> None:
    """Measures the loader that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, nargs="?")
    parser.add_argument("--records", type=Path, help="records in memory instead")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, default=9)
    args = parser.parse_args()
    if (args.shards is None) == (args.records is None):
        parser.error("give SHARDS or --records")
    torch.set_num_threads(1)
    recipe = registry.get(args.recipe)
    recipe = replace(recipe, data=replace(recipe.data, batch=args.batch or recipe.data.batch))
    source: Source = Shards(args.shards) if args.shards else Mixture(RecordStore(args.records).all(), [], 0.0, 0.5)
    rates = measure(source, recipe, args.steps)
    Console().print(
        f"{recipe.name}, batch {recipe.data.batch}: loader {rates.loader:.1f} clips/s, network {rates.network:.1f} "
        f"clips/s of one core: {rates.ratio:.1f}x"
    )


if __name__ == "__main__":
    main()
