"""Measures what a training step costs on this machine, and predicts what it would cost on 64 GPUs.

    python -m training.bench.step --recipes small paper --batches 32 128 --precisions fp32 bf16 --compile
    python -m training.bench.step --device cpu --recipes small --batches 4 --steps 2

For each recipe, batch and precision: clips a second, memory, operations, their share of the peak (of a large matrix
product measured here, and as the maker states it), and what bounds it. The clips are noise of the right shapes: a
step's cost does not depend on what is danced. A setting that does not fit is said to not fit, and the rest goes on.
With fp32, torch lets GPUs compute convolutions in TF32 and matrix products in full; the stated peak is that of fp32.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed

from training.bench.cost import Cost, busy_shares, measured_peak, operations, predict, seconds, stated_peak
from training.data.batches import Batch, Mixture, make_batch
from training.data.records import ClipFeatures
from training.distributed import DistContext, find_device
from training.recipe import Recipe
from training.recipes import registry
from training.trainer import State, gradient_bytes, init_state, train_step

GPUS = 64
COUNTED = 4  # clips whose operations are counted; they grow with the clips
CLIP_S = 10.0


@dataclass(frozen=True)
class Setting:
    """One line of the table."""

    recipe: str
    batch: int
    precision: str
    compiled: str


def noise(recipe: Recipe, count: int = 4) -> list[ClipFeatures]:
    """Records of the recipe's shapes, in which nothing is danced."""
    spec, rng = recipe.features, np.random.default_rng(0)
    frames = round(CLIP_S * spec.video.fps)
    beats = np.arange(0.2, CLIP_S, 0.5, dtype=np.float32)
    return [
        ClipFeatures(
            f"noise-{i}", f"song-{i}", "noise", "", "generated", CLIP_S,
            rng.uniform(0, 0.1, (frames - 1, spec.video.motion_dim)).astype(np.float32),
            rng.uniform(-1, 1, (round(CLIP_S * spec.audio.frame_rate_hz), spec.audio.input_dim)).astype(np.float32),
            rng.uniform(0, 1, frames).astype(np.float32), np.sort(rng.uniform(0, CLIP_S, 40)).astype(np.float32),
            beats, beats, beats[::4], flow_shape=spec.video.flow_shape,
        )
        for i in range(count)
    ]  # fmt: skip


def cost_of(recipe: Recipe, device: torch.device, steps: int) -> Cost:
    """Measure a step of the recipe; of a recipe that hears music only now and then, one that hears it."""
    recipe = replace(recipe, data=replace(recipe.data, joint_every=1))
    batch, batch_s = _noisy_batch(recipe, device, steps)
    few = replace(_plain(recipe), data=replace(recipe.data, batch=COUNTED))
    one, _ = _noisy_batch(few, device, 1)
    flops = (
        operations(lambda: _step(init_state(few, DistContext(device=device)), one, few)) * recipe.data.batch / COUNTED
    )
    state = init_state(recipe, DistContext(device=device))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    network_s = seconds(lambda: _step(state, batch, recipe), steps, device)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    shares = busy_shares(lambda: _step(state, batch, recipe), network_s, device)
    return Cost(recipe.data.batch, network_s + batch_s, batch_s, flops, memory, *(shares or (None, None)))


def _noisy_batch(recipe: Recipe, device: torch.device, times: int) -> tuple[Batch, float]:
    """A batch with all that the curriculum ends with, and the seconds that one costs where the network is.

    Frames are not counted: they come from loader processes, that run ahead.
    """
    blind = replace(recipe, model=replace(recipe.model, visual_inputs=("motion",), injector_source="grid"))
    source, late = Mixture(noise(recipe), [], 0.0, 0.5), recipe.optimiser.steps - 1
    made_s = seconds(lambda: make_batch(source, blind, late, device), times, device)
    batch = make_batch(source, blind, late, device)
    if not recipe.model.needs_frames:
        return batch, made_s
    side, count = recipe.features.video.frame_size_px, recipe.features.frames_per_segment
    frames = torch.randint(0, 256, (recipe.data.batch, count, side, side, 3), dtype=torch.uint8, device=device)
    return replace(batch, frames=frames.permute(0, 1, 4, 2, 3)), made_s


def _plain(recipe: Recipe) -> Recipe:
    """Uncompiled and nothing computed twice: the operations that the mathematics asks for."""
    return replace(recipe, engine=replace(recipe.engine, compiled="no", activation_checkpointing=False))


def _step(state: State, batch: Batch, recipe: Recipe) -> None:
    state.step = recipe.optimiser.steps - 1
    train_step(state, [batch], recipe)


def settings(args: argparse.Namespace) -> Iterator[Setting]:
    """All combinations that the command line asks for."""
    for name in args.recipes:
        for batch in args.batches:
            for precision in args.precisions:
                for compiled in ("no", args.compile) if args.compile else ("no",):
                    yield Setting(name, batch, precision, compiled)


def measure(setting: Setting, device: torch.device, steps: int, checkpointing: bool, tiny: bool) -> dict[str, Any]:
    """One line's figures, or why there are none."""
    recipe = registry.get(setting.recipe)
    if tiny:
        recipe = shrink(recipe)
    engine = replace(recipe.engine, precision=setting.precision, compiled=setting.compiled)  # type: ignore[arg-type]
    engine = replace(engine, activation_checkpointing=checkpointing)
    recipe = replace(recipe, engine=engine, data=replace(recipe.data, batch=setting.batch))
    try:
        cost = cost_of(recipe, device, steps)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {**asdict(setting), "fits": False}
    peak = measured_peak(device, torch.bfloat16 if setting.precision == "bf16" else torch.float32)
    stated = stated_peak(device, setting.precision)
    network = init_state(_plain(recipe)).network
    return {
        **asdict(setting), "fits": True, **asdict(cost), "clips_s": cost.clips_s,
        "tflops_s": cost.flops / cost.step_s / 1e12, "of_measured_peak": cost.flops / cost.step_s / peak,
        "of_stated_peak": cost.flops / cost.step_s / stated if stated else None, "bound_by": cost.bound_by(peak),
        "parameters": sum(w.numel() for w in network.parameters()), "gradient_bytes": gradient_bytes(network),
    }  # fmt: skip


def shrink(recipe: Recipe) -> Recipe:
    """The same recipe with small pictures, so that a CPU can try the command."""
    model = replace(recipe.model, appearance_size_px=64, pyramid_channels=(4, 8, 8, 16, 16, 16))
    video = replace(recipe.features.video, frame_size_px=64)
    return replace(recipe, model=model, features=replace(recipe.features, video=video))


def fleet_line(rows: dict[str, Any], recipe: Recipe, clip_bytes: float) -> str:
    """What GPUS of these devices would make of the recipe's own batch, from the measured step of such a share."""
    share = recipe.data.batch / GPUS
    gathered = int(3 * recipe.data.batch * recipe.model.embed_dim * 4)
    step_s = rows["step_s"] * share / rows["clips"] if rows["clips"] > share else rows["step_s"]
    fleet = predict(step_s, rows["gradient_bytes"] + gathered, GPUS, recipe.optimiser.steps, clip_bytes, share)
    return (
        f"{recipe.name} on {GPUS} GPUs, {share:g} clips on each: {1e3 * fleet.step_s:.0f} ms a step, of it "
        f"{1e3 * fleet.exchange_s:.1f} ms to exchange {fleet.sent_bytes / 1e6:.0f} MB of gradients and embeddings; "
        f"{recipe.optimiser.steps} steps in {fleet.hours:.1f} h; each GPU reads {fleet.read_bytes_s / 1e6:.1f} MB/s"
    )


def _in_short(rows: dict[str, Any]) -> str:
    what = f"{rows['recipe']}, {rows['batch']} clips, {rows['precision']}, compiled: {rows['compiled']}"
    return f"{what}: {rows['clips_s']:.1f} clips/s" if rows["fits"] else f"{what}: does not fit"


def show(lines: list[dict[str, Any]], console: Console) -> None:
    """Prints the table of all settings."""
    table = Printed("recipe", "batch", "precision", "compile", "clips/s", "ms a step", "of it batch", "memory GiB",
                    "GFLOP a clip", "TFLOP/s", "of peak here", "of stated", "busy", "bound by")  # fmt: skip
    for f in lines:
        head = [f["recipe"], str(f["batch"]), f["precision"], f["compiled"]]
        if not f["fits"]:
            table.add_row(*head, "does not fit")
            continue
        stated, busy = f["of_stated_peak"], f["busy"]
        table.add_row(
            *head, f"{f['clips_s']:.1f}", f"{1e3 * f['step_s']:.1f}", f"{1e3 * f['batch_s']:.1f}",
            f"{f['memory_bytes'] / 2**30:.1f}", f"{f['flops'] / f['clips'] / 1e9:.1f}", f"{f['tflops_s']:.2f}",
            f"{100 * f['of_measured_peak']:.0f} %", f"{100 * stated:.0f} %" if stated else "-",
            f"{100 * busy:.0f} %" if busy is not None else "-", f["bound_by"],
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Measures every setting that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["small", "paper"])
    parser.add_argument("--batches", nargs="+", type=int, default=[32])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--compile", nargs="?", const="default", choices=["default", "reduce-overhead"])
    parser.add_argument(
        "--activation-checkpointing", action="store_true", help="compute activations again in the backward pass"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="small pictures: to try the command on a CPU")
    parser.add_argument("--clip-kb", type=float, default=1300.0, help="of one clip in the shards, frames included")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    device, console = find_device(args.device), Console(width=190)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    console.print(f"{name}, torch {torch.__version__}")
    lines: list[dict[str, Any]] = []
    for setting in settings(args):
        lines.append(measure(setting, device, args.steps, args.activation_checkpointing, args.tiny))
        console.print(_in_short(lines[-1]))  # as they come: a lent GPU may be gone before the table
        if args.json:
            args.json.write_text(json.dumps({"device": name, "lines": lines}, indent=1))
    show(lines, console)
    for rows in lines:
        if rows["fits"] and rows["recipe"].startswith("paper") and rows["compiled"] == "no":
            console.print(f"{rows['precision']}, batch {rows['batch']} measured: "
                          + fleet_line(rows, registry.get(rows["recipe"]), 1e3 * args.clip_kb))  # fmt: skip


if __name__ == "__main__":
    main()
