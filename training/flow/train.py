"""Trains PWC-Net from scratch, on generated pairs, on one device.

    python -m training.flow.train runs/flow --minutes 4 --device cuda --bf16 --pairs FOLDER

The learning rate follows the share of the time (or of `--steps`) that is gone: a warm-up and a cosine to zero, so a
run of any length ends annealed. The weights begin where `begin` puts them. The first part sees small pictures, which
cost a quarter, and at first few layers that move far, so that each level has something to see. What is held out is
measured while it runs: a run that after `--patience` seconds is no better than no motion ends with exit code 3. Kept:
`state.pt` (to go on after a kill), `losses.jsonl`, and at the end `pwcnet.safetensors` in half precision: put it
beside the checkpoints with `mudar models import-pwcnet` and `flow = "pwcnet"` finds it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from mudar.atomic_write import atomic_path
from mudar.model.pwcnet import PwcNet
from training.flow.begin import lsuv_init
from training.flow.layers import Scenes, draw
from training.flow.loss import multiscale
from training.flow.measure import on_generated, show

SAVE_EVERY_S = 60.0
SAY_EVERY_S = 10.0
SAY_LAST = 20  # steps whose mean loss is said
HELD_OUT_PAIRS = 16  # measured each time something is said
EASY = Scenes(patches=1, background_px=16.0, patch_px=4.0, still=0.0)
BEGIN = Scenes(patches=8, background_px=12.0, patch_px=12.0, still=0.0)  # many displacements in few pairs
LEARNT_NOTHING = 3  # exit code


@dataclass(frozen=True)
class FlowRecipe:
    """A run. Sides in pixels, multiples of 64."""

    batch: int = 32
    small_side: int = 128
    small_batch: int = 96
    small_share: float = 0.45  # of the run
    side: int = 256
    learning_rate: float = 2e-4
    weight_decay: float = 1e-5
    warmup_share: float = 0.04
    clip_norm: float = 1.0
    ema: float = 0.995
    seed: int = 0
    easy_share: float = 0.25  # of the run, over which scenes go from easy to those of `Scenes`
    begin_pairs: int = 24  # that the first weights are set on
    begin_side: int = 256

    def scenes(self, share: float) -> Scenes:
        """What is drawn when this share of the run is gone: at first one patch before a background that moves far."""
        last, gone = Scenes(), min(share / self.easy_share, 1.0) if self.easy_share else 1.0
        if gone == 1:
            return last
        return Scenes(
            patches=round(EASY.patches + gone * (last.patches - EASY.patches)),
            background_px=EASY.background_px + gone * (last.background_px - EASY.background_px),
            patch_px=EASY.patch_px + gone * (last.patch_px - EASY.patch_px),
            still=EASY.still + gone * (last.still - EASY.still),
        )

    def rate(self, share: float) -> float:
        """The learning rate when this share of the run is gone."""
        if share < self.warmup_share:
            return self.learning_rate * (0.05 + 0.95 * share / self.warmup_share)
        gone = (share - self.warmup_share) / (1 - self.warmup_share)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(gone, 1.0)))

    def sizes(self, share: float) -> tuple[int, int]:
        """(pairs, side) of a batch."""
        return (self.small_batch, self.small_side) if share < self.small_share else (self.batch, self.side)


class LearntNothing(Exception):
    """After the patience that was given the held-out error is not below that of no motion."""


@dataclass
class FlowRun:
    """Everything that a step changes."""

    net: PwcNet
    average: PwcNet
    optimiser: torch.optim.AdamW
    step: int = 0
    gone_s: float = 0.0

    @classmethod
    def fresh(cls, recipe: FlowRecipe, device: torch.device) -> FlowRun:
        """A run that has not begun."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            net = PwcNet().to(device)
            generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + 999_999)  # no step's
            lsuv_init(net, draw(recipe.begin_pairs, recipe.begin_side, recipe.begin_side, generator, BEGIN))
        form = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        net = net.to(memory_format=form)  # type: ignore[call-overload]
        # The up_flow of level 2 is there for the public checkpoint's sake and is never used.
        used = [p for name, p in net.named_parameters() if not name.startswith("decoders.2.up_")]
        optimiser = torch.optim.AdamW(used, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        return cls(net, copy.deepcopy(net).requires_grad_(False), optimiser)

    def advance(self, recipe: FlowRecipe, share: float, bf16: bool = False) -> Tensor:
        """One step; its loss, which nobody has waited for yet. The pairs follow from (seed, step)."""
        device = next(self.net.parameters()).device
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate(share)
        pairs, side = recipe.sizes(share)
        generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + self.step)
        with torch.no_grad():
            drawn = draw(pairs, side, side, generator, recipe.scenes(share))
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            flows = self.net(drawn.first, drawn.second)
        loss = multiscale(flows, drawn.flow)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_norm)
        self.optimiser.step()
        self.step += 1
        keep = min(recipe.ema, self.step / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - keep)
        return loss.detach()

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        content = {"net": self.net.state_dict(), "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(), "step": self.step, "gone_s": self.gone_s}  # fmt: skip
        with atomic_path(path) as unfinished:
            torch.save(content, unfinished)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        content = torch.load(path, map_location=next(self.net.parameters()).device, weights_only=True)
        self.net.load_state_dict(content["net"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.gone_s = int(content["step"]), float(content["gone_s"])


@dataclass(frozen=True)
class Budget:
    """Says how long a run is, in minutes or in steps, and by when it must beat no motion."""

    minutes: float = 0.0
    steps: int = 0
    patience_s: float = math.inf

    def share(self, run: FlowRun) -> float:
        """What is gone of it, 0 … 1."""
        return run.step / self.steps if self.steps else run.gone_s / (60 * self.minutes)


def train(recipe: FlowRecipe, budget: Budget, out: Path, device: torch.device, bf16: bool, console: Console) -> PwcNet:
    """Run to the end, from where the folder's run was; returns the averaged network. Raises LearntNothing."""
    out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    run = FlowRun.fresh(recipe, device)
    if (out / "state.pt").exists():
        run.load(out / "state.pt")
    began_s, before_s = time.monotonic(), run.gone_s
    logged_s, saved_s, losses = began_s, began_s, []
    with (out / "losses.jsonl").open("a") as log:
        while (share := budget.share(run)) < 1:
            losses.append(run.advance(recipe, share, bf16))
            if device.type == "cuda" and run.step % 8 == 0:
                torch.cuda.synchronize()  # the clock must not run ahead of the device
            now_s = time.monotonic()
            run.gone_s = before_s + now_s - began_s
            if now_s - logged_s > SAY_EVERY_S or budget.share(run) >= 1:
                mean = float(torch.stack(losses[-SAY_LAST:]).mean())
                ours, still = on_generated(run.net, device, HELD_OUT_PAIRS, recipe.sizes(share)[1])
                entry = {"step": run.step, "loss": mean, "gone_s": round(run.gone_s, 1),
                        "held_out_px": round(ours, 4), "no_motion_px": round(still, 4)}  # fmt: skip
                log.write(json.dumps(entry) + "\n")
                log.flush()
                pairs = len(losses) * recipe.sizes(share)[0]
                console.print(
                    f"{100 * share:3.0f} %  step {run.step}  loss {mean:.4f}  held out {ours:.3f} px "
                    f"of {still:.3f}  {pairs / (now_s - logged_s):.0f} pairs/s"
                )
                if run.gone_s > budget.patience_s and not ours < still:
                    raise LearntNothing(f"after {run.gone_s:.0f} s: {ours:.3f} px, no motion {still:.3f} px")
                logged_s, losses = now_s, []
            if now_s - saved_s > SAVE_EVERY_S:
                run.save(out / "state.pt")
                saved_s = now_s
    run.save(out / "state.pt")
    return run.average.eval()


def export(net: PwcNet, path: Path) -> None:
    """The weights in half precision, under our names."""
    from safetensors.torch import save_file

    save_file({name: value.half().cpu().contiguous() for name, value in net.state_dict().items()}, path)


def main() -> int:
    """Trains as the command line says; the exit code is 3 when nothing was learnt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=0, help="instead of minutes")
    parser.add_argument("--batch", type=int, default=FlowRecipe.batch)
    parser.add_argument("--side", type=int, default=FlowRecipe.side)
    parser.add_argument("--learning-rate", type=float, default=FlowRecipe.learning_rate)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--small-share", type=float, default=FlowRecipe.small_share, help="of the run at 128 x 128")
    parser.add_argument("--patience", type=float, default=40.0, help="seconds by which it must beat no motion")
    parser.add_argument("--pairs", type=Path, help="pairs in FlyingChairs' form to measure on at the end")
    args = parser.parse_args()
    device, console = torch.device(args.device), Console()
    recipe = FlowRecipe(
        batch=args.batch, side=args.side, small_side=min(args.side, FlowRecipe.small_side),
        small_batch=3 * args.batch, learning_rate=args.learning_rate,
        small_share=args.small_share, begin_pairs=min(max(args.batch, 4), 24), begin_side=max(args.side, 192),
    )  # fmt: skip
    budget = Budget(args.minutes, args.steps, args.patience)
    try:
        net = train(recipe, budget, args.out, device, args.bf16, console)
    except LearntNothing as nothing:
        console.print(f"ended: it has learnt nothing {nothing}")
        return LEARNT_NOTHING
    try:
        export(net, args.out / "pwcnet.safetensors")
    except ModuleNotFoundError:
        console.print("safetensors is not installed: the same command where it is, on this folder, only exports")
    show(net, device, args.pairs, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
