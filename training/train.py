"""`python -m training.train RECIPE`: the one training loop.

    python -m training.train small --generated data/train --real data/real --out runs/small

Whatever is random in step n follows from (seed, n) alone, so a run that was killed and goes on (`--out` of before)
gives the same losses as one that was not. What it keeps: `state.pt` (to go on), `losses.jsonl`, `recipe.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

from mudar.model.mudar import Mudar, build
from training.data.batches import Mixture, Source, make_batch
from training.data.store import Record, Shelf
from training.objective import objective
from training.recipe import OptimiserRecipe, Recipe
from training.recipes import registry

SAVE_EVERY_S = 30.0


@dataclass
class State:
    """Everything that a step changes."""

    model: Mudar
    average: Mudar
    optimiser: torch.optim.AdamW
    step: int


def fresh(recipe: Recipe) -> State:
    """A run that has not begun."""
    model = build(recipe.model, recipe.features, recipe.seed)
    plain = recipe.optimiser
    optimiser = torch.optim.AdamW(model.parameters(), lr=plain.learning_rate, weight_decay=plain.weight_decay)
    return State(model, copy.deepcopy(model).requires_grad_(False), optimiser, 0)


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero or a constant."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    return float(recipe.learning_rate * 0.5 * (1.0 + torch.cos(torch.tensor(torch.pi * done))))


def advance(state: State, source: Source, recipe: Recipe) -> dict[str, float]:
    """One step; returns its loss and the loss's parts."""
    batch = make_batch(source, recipe, state.step)
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(recipe.optimiser, state.step)
    state.model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed * 1_000_003 + state.step)
        loss, parts = objective(state.model, batch, recipe)
        state.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(state.model.parameters(), recipe.optimiser.clip_norm)
    state.optimiser.step()
    _follow(state.average, state.model, min(recipe.optimiser.ema, (1 + state.step) / (10 + state.step)))
    state.step += 1
    return {"loss": float(loss.detach()), **parts}


@torch.no_grad()
def _follow(average: Mudar, model: Mudar, keep: float) -> None:
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1.0 - keep)
        else:
            mine.copy_(theirs)


def save_state(state: State, out: Path) -> None:
    """Write `out/state.pt`, whole or not at all."""
    part = out / "state.part"
    torch.save({"model": state.model.state_dict(), "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(), "step": state.step}, part)  # fmt: skip
    part.replace(out / "state.pt")


def load_state(recipe: Recipe, out: Path) -> State:
    """The run in `out` where it stopped, or a fresh one."""
    state = fresh(recipe)
    if (out / "state.pt").exists():
        kept: dict[str, dict[str, Tensor]] = torch.load(out / "state.pt", weights_only=True)
        state.model.load_state_dict(kept["model"])
        state.average.load_state_dict(kept["average"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.step = int(kept["step"])  # type: ignore[call-overload]
    return state


def train(recipe: Recipe, source: Source, out: Path, console: Console) -> Mudar:
    """Run the recipe to its end, from where it was; returns the averaged network."""
    if recipe.model.needs_frames:
        raise NotImplementedError(f"{recipe.name} looks at frames, and the records hold none yet: take paper-motion")
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1))
    state = load_state(recipe, out)
    bar = Progress(*Progress.get_default_columns(), TextColumn("{task.fields[said]}"), console=console)
    saved_s = time.monotonic()
    with bar, (out / "losses.jsonl").open("a") as log:
        task = bar.add_task(recipe.name, total=recipe.optimiser.steps, completed=state.step, said="")
        while state.step < recipe.optimiser.steps:
            losses = advance(state, source, recipe)
            log.write(json.dumps({"step": state.step, **losses}) + "\n")
            bar.update(task, completed=state.step, said=" ".join(f"{k} {v:.4f}" for k, v in losses.items()))
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                save_state(state, out)
                saved_s = time.monotonic()
    save_state(state, out)
    return state.average.eval()


def mixture(recipe: Recipe, generated: Path | None, real: Path | None, without: frozenset[str]) -> Mixture:
    """The records of the recipe; `without` are clips held out for evaluation."""

    def read(folder: Path | None, fraction: float) -> list[Record]:
        if folder is None:
            return []
        shelf = Shelf(folder)
        ids = [clip_id for clip_id in shelf.clip_ids() if clip_id not in without]
        return [shelf.load(clip_id) for clip_id in ids[: max(round(len(ids) * fraction), 1)]]

    share = recipe.data.real_share
    return Mixture(
        read(generated, recipe.data.fraction), read(real, 1.0) if share else [], share, recipe.data.bachata_share
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help=f"one of {', '.join(registry.BASES)}, or BASE/ABLATION")
    parser.add_argument("--generated", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--hold-out", type=Path, help="a file with one clip id a line: never trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = replace(registry.get(args.recipe), seed=args.seed)
    if args.steps:
        recipe = replace(recipe, optimiser=replace(recipe.optimiser, steps=args.steps))
    without = frozenset(args.hold_out.read_text().split()) if args.hold_out else frozenset()
    train(recipe, mixture(recipe, args.generated, args.real, without), args.out, Console())


if __name__ == "__main__":
    main()
