"""`python -m training.train RECIPE`: the one training loop.

    python -m training.train small --generated data/train --real data/real --out runs/small --device auto

From Python: `train(recipe, source, out, console, device="auto")`, where a source is a `Mixture` of records (held as
tensors where the network is) or whatever has `draw(rng, count) -> rows` and `table(spec, device) -> Table`
(training/data/batches.py); `make_batch(source, recipe, step, device)` gives the batch of any step.

Whatever is random in step n follows from (seed, n) alone, so a run that was killed and goes on (`--out` of before)
gives the same losses as one that was not. What it keeps: `state.pt` (to go on), `losses.jsonl`, `recipe.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

from training.baselines.registry import Network, build_network
from training.data.batches import Mixture, Source, make_batch
from training.data.store import Record, Shelf
from training.objective import objective
from training.recipe import OptimiserRecipe, Recipe
from training.recipes import registry

SAVE_EVERY_S = 30.0
WRITE_EVERY = 20  # steps: reading a loss off a GPU waits for it, so losses are read many at a time


@dataclass
class State:
    """Everything that a step changes."""

    model: Network
    average: Network
    optimiser: torch.optim.AdamW
    step: int


def find_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def fresh(recipe: Recipe, device: torch.device | str = "cpu") -> State:
    """A run that has not begun."""
    model = build_network(recipe).to(device)
    plain = recipe.optimiser
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plain.learning_rate, weight_decay=plain.weight_decay, fused=True
    )
    return State(model, copy.deepcopy(model).requires_grad_(False), optimiser, 0)


def learning_rate(recipe: OptimiserRecipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero or a constant."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    return float(recipe.learning_rate * 0.5 * (1.0 + torch.cos(torch.tensor(torch.pi * done))))


def advance(state: State, source: Source, recipe: Recipe) -> dict[str, Tensor]:
    """One step; returns its loss and the loss's parts, still on the device."""
    device = next(state.model.parameters()).device
    batch = make_batch(source, recipe, state.step, device)
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
    return {"loss": loss.detach(), **parts}


@torch.no_grad()
def _follow(average: Network, model: Network, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1.0 - keep)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


def save_state(state: State, out: Path) -> None:
    """Write `out/state.pt`, whole or not at all."""
    part = out / "state.part"
    torch.save({"model": state.model.state_dict(), "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(), "step": state.step}, part)  # fmt: skip
    part.replace(out / "state.pt")


def load_state(recipe: Recipe, out: Path, device: torch.device | str = "cpu") -> State:
    """The run in `out` where it stopped, or a fresh one."""
    state = fresh(recipe, device)
    if (out / "state.pt").exists():
        kept: dict[str, dict[str, Tensor]] = torch.load(out / "state.pt", weights_only=True, map_location=device)
        state.model.load_state_dict(kept["model"])
        state.average.load_state_dict(kept["average"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.step = int(kept["step"])  # type: ignore[call-overload]
    return state


@dataclass
class Log:
    """Losses on their way to `losses.jsonl`: held on the device, written many at a time."""

    path: Path
    held: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    def add(self, step: int, losses: dict[str, Tensor]) -> None:
        """The losses after `step` steps."""
        self.held.append((step, losses))

    def write(self) -> dict[str, float]:
        """Append what is held to the file; returns the last losses."""
        if not self.held:
            return {}
        numbers = torch.stack([value for _, losses in self.held for value in losses.values()]).tolist()
        last: dict[str, float] = {}
        with self.path.open("a") as out:
            for step, losses in self.held:
                last, numbers = dict(zip(losses, numbers, strict=False)), numbers[len(losses) :]
                out.write(json.dumps({"step": step, **last}) + "\n")
        self.held.clear()
        return last


def train(
    recipe: Recipe, source: Source, out: Path, console: Console, device: str = "auto",
    after_step: Callable[[State], None] = lambda state: None,
) -> Network:  # fmt: skip
    """Run the recipe to its end, from where it was; returns the averaged network, on the CPU."""
    if recipe.model.needs_frames:
        raise NotImplementedError(f"{recipe.name} looks at frames, and the records hold none yet: take paper-motion")
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1))
    state, log = load_state(recipe, out, find_device(device)), Log(out / "losses.jsonl")
    bar = Progress(*Progress.get_default_columns(), TextColumn("{task.fields[said]}"), console=console)
    saved_s = time.monotonic()
    with bar:
        task = bar.add_task(recipe.name, total=recipe.optimiser.steps, completed=state.step, said="")
        while state.step < recipe.optimiser.steps:
            log.add(state.step + 1, advance(state, source, recipe))
            after_step(state)
            due = time.monotonic() - saved_s > SAVE_EVERY_S
            if due or state.step % WRITE_EVERY == 0:
                said = " ".join(f"{name} {value:.4f}" for name, value in log.write().items())
                bar.update(task, completed=state.step, said=said)
            if due:
                save_state(state, out)
                saved_s = time.monotonic()
        log.write()
    save_state(state, out)
    return state.average.cpu().eval()


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
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = replace(registry.get(args.recipe), seed=args.seed)
    if args.steps:
        recipe = replace(recipe, optimiser=replace(recipe.optimiser, steps=args.steps))
    without = frozenset(args.hold_out.read_text().split()) if args.hold_out else frozenset()
    train(recipe, mixture(recipe, args.generated, args.real, without), args.out, Console(), args.device)


if __name__ == "__main__":
    main()
