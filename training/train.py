"""Trains the network of a recipe.

    python -m training.train small --generated data/train --real data/real --out runs/small --device auto
    torchrun --nproc-per-node 8 -m training.train paper --shards data/shards --out runs/paper --workers 12

From Python: `train(recipe, source, out, console, device="auto")`, where a source is a `Mixture` of records (held as
tensors where the network is), `Shards` on disk, or whatever else `training.data.batches.Source` describes;
`make_batch(source, recipe, step, device)` gives the batch of any step.

Whatever is random in step n follows from (seed, n) alone, so a run that was killed and goes on (`--out` of before)
gives the same losses as one that was not. What it keeps: `state.pt` (to go on), `losses.jsonl`, `recipe.json`, and
with `--board` curves and pictures for TensorBoard.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TextColumn

from training.baselines.registry import Network
from training.checkpoint import load_state, save_state
from training.data.batches import Mixture, Source, make_batch
from training.data.records import ClipFeatures, RecordStore
from training.data.shards import Shards
from training.distributed import init_distributed
from training.hard_negatives import mine, should_mine
from training.loader import BatchFactory, MicroBatches, ThroughputMeter, load_batches
from training.recipe import Recipe
from training.recipes import registry
from training.tracking.images import draw_images
from training.tracking.logger import Log, open_writer
from training.trainer import State, train_step

SAVE_EVERY_S = 30.0
WRITE_EVERY = 20  # steps
IMAGE_EVERY = 200  # steps between two pictures on the board


@dataclass(frozen=True)
class RuntimeConfig:
    """Says what of a run is not in its recipe: it changes nothing of what is learnt."""

    workers: int = 0  # loader processes; 0: batches are made where the network is, from memory
    tensorboard: bool = False


DEFAULT_RUNTIME = RuntimeConfig()


def train(
    recipe: Recipe,
    source: Source,
    out: Path,
    console: Console,
    device: str = "auto",
    runtime: RuntimeConfig = DEFAULT_RUNTIME,
) -> Network:
    """Runs the recipe to its end, from where it was; returns the averaged network, on the CPU.

    Started by torchrun, all processes call this; the main one writes. Raises ValueError for records without the
    frames that the recipe looks at, and for a batch that cannot be shared out.
    """
    with init_distributed(device) as world:
        if world.is_main:
            out.mkdir(parents=True, exist_ok=True)
            (out / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1))
        world.wait()
        state = load_state(recipe, out, world)
        log = Log(out, world, open_writer(out) if runtime.tensorboard and world.is_main else None)
        log.resume_from(state.step)
        _run(Run(recipe, source, state, log, runtime), out, console if world.is_main else Console(quiet=True))
        return state.average.cpu().eval()


@dataclass
class Run:
    """Holds what one run is made of."""

    recipe: Recipe
    source: Source
    state: State
    log: Log
    runtime: RuntimeConfig
    meter: ThroughputMeter = field(default_factory=ThroughputMeter)


def _run(run: Run, out: Path, console: Console) -> None:
    state, recipe = run.state, run.recipe
    bar = Progress(*Progress.get_default_columns(), TextColumn("{task.fields[status]}"), console=console)
    saved_s = time.monotonic()
    with bar:
        task = bar.add_task(recipe.name, total=recipe.optimiser.steps, completed=state.step, status="")
        while state.step < recipe.optimiser.steps:
            for pieces in _period(run):
                run.log.add(state.step + 1, train_step(state, pieces, recipe))
                if state.step % WRITE_EVERY:
                    continue
                losses = " ".join(f"{name} {value:.4f}" for name, value in run.log.write().items())
                bar.update(task, completed=state.step, status=f"{losses} | {run.meter.summary()}")
                _show(run)
                if time.monotonic() - saved_s > SAVE_EVERY_S and state.world.is_main:
                    save_state(state, out)
                    saved_s = time.monotonic()
    run.log.write()
    if state.world.is_main:
        save_state(state, out)
    state.world.wait()
    console.print(f"{recipe.name}: {state.step} steps | {run.meter.summary()}")


def _period(run: Run) -> Iterator[MicroBatches]:
    """The batches up to the next search for negatives, which is done first where it is time for it."""
    state, recipe = run.state, run.recipe
    if should_mine(recipe, state.step):
        state.hardest = mine(state.network, run.source, recipe, state.step, state.world)
    every, last = recipe.loss.offline_every, recipe.optimiser.steps
    until = min((state.step // every + 1) * every, last) if every else last
    factory = BatchFactory(run.source, recipe, state.world, state.hardest)
    yield from load_batches(factory, range(state.step, until), run.runtime.workers, run.meter)


def _show(run: Run) -> None:
    """Curves and pictures on the board."""
    state, log = run.state, run.log
    if log.writer is None:
        return
    log.scalar("learning rate", state.optimiser.param_groups[0]["lr"], state.step)
    log.scalar("clips a second/loader", run.meter.loader_rate, state.step)
    log.scalar("clips a second/network", run.meter.network_rate, state.step)
    if state.step % IMAGE_EVERY == 0:
        step = state.step - state.step % run.recipe.data.joint_every  # one that hears music
        for name, image in draw_images(state.average, make_batch(run.source, run.recipe, step, state.world.device),
                                  run.recipe).items():  # fmt: skip
            log.image(name, image, state.step)


def mixture(recipe: Recipe, generated: Path | None, real: Path | None, without: frozenset[str]) -> Mixture:
    """Reads the records of the recipe; `without` are clips held out for evaluation."""

    def read(folder: Path | None, fraction: float) -> list[ClipFeatures]:
        if folder is None:
            return []
        shelf = RecordStore(folder)
        ids = [clip_id for clip_id in shelf.clip_ids() if clip_id not in without]
        return [shelf.load(clip_id) for clip_id in ids[: max(round(len(ids) * fraction), 1)]]

    share = recipe.data.real_share
    return Mixture(
        read(generated, recipe.data.fraction), read(real, 1.0) if share else [], share, recipe.data.bachata_share
    )


def main() -> None:
    """Trains the recipe that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help=f"one of {', '.join(registry.BASES)}, or BASE/ABLATION")
    parser.add_argument("--generated", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--shards", type=Path, help="instead of both: shards of any size, read as they are needed")
    parser.add_argument("--hold-out", type=Path, help="a file with one clip id a line: never trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--batch", type=int, help="instead of the recipe's: clips of all processes together")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--workers", type=int, default=0, help="loader processes; 0 makes batches from memory")
    parser.add_argument("--board", action="store_true", help="curves and pictures for TensorBoard, in OUT/board")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = _with_arguments(replace(registry.get(args.recipe), seed=args.seed), args)
    without = frozenset(args.hold_out.read_text().split()) if args.hold_out else frozenset()
    source: Source = (
        Shards(args.shards, without, args.seed) if args.shards else mixture(recipe, args.generated, args.real, without)
    )
    train(recipe, source, args.out, Console(), args.device, RuntimeConfig(args.workers, args.board))


def _with_arguments(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    if args.steps:
        recipe = replace(recipe, optimiser=replace(recipe.optimiser, steps=args.steps))
    if args.batch:
        recipe = replace(recipe, data=replace(recipe.data, batch=args.batch))
    if args.precision:
        recipe = replace(recipe, engine=replace(recipe.engine, precision=args.precision))
    return recipe


if __name__ == "__main__":
    main()
