"""Measures the path that a user has: generated dancers as mp4 files, through the Embedder, against their truth.

    python -m training.evaluation.files RUN --clips 24 --first-seed 3000000

Slower than `training.evaluation.evaluate`, and the only one that sees the coding, the sampling and the refinement of
strokes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from mudar.embed import Embedder
from training.checkpoint import load_run
from training.data.synthetic.clip import Truth, write_clip
from training.evaluation import metrics

SIZES = ((640, 360), (360, 640), (480, 480))
RATES = (30, 25, 24, 30)


def write_clips(folder: Path, clips: int, first_seed: int, duration_s: float = 10.0) -> list[tuple[Path, Truth]]:
    """Writes files of several sizes and rates; returns them with their truth."""
    written = []
    for i in range(clips):
        (width, height), path = SIZES[i % len(SIZES)], folder / f"{first_seed + i}.mp4"
        truth = write_clip(path, first_seed + i, duration_s, width=width, height=height, fps=RATES[i % len(RATES)])
        written.append((path, truth))
    return written


def stroke_figures(embedder: Embedder, clips: list[tuple[Path, Truth]]) -> dict[str, Any]:
    """Measures served strokes against the truth: F1 with chance and interval, and the median timing error."""
    by_clip: dict[str, list[float]] = {"f1_50ms": [], "chance_50ms": [], "f1_70ms": [], "chance_70ms": []}
    errors: list[float] = []
    for path, truth in track(clips, "strokes of files", transient=True):
        times_s = embedder.dance(path).rhythm.times_s
        for tolerance_s in (0.05, 0.07):
            name = f"{round(1000 * tolerance_s)}ms"
            by_clip[f"f1_{name}"].append(metrics.f1(truth.strokes_s, times_s, tolerance_s))
            by_clip[f"chance_{name}"].append(metrics.chance_f1(truth.strokes_s, times_s, tolerance_s, truth.duration_s))
        errors += metrics.timing_errors_s(truth.strokes_s, times_s).tolist()
    figures: dict[str, Any] = {name: metrics.bootstrap(values)[0] for name, values in by_clip.items()}
    figures["clips"] = len(clips)
    figures["f1_50ms_interval"] = list(metrics.bootstrap(by_clip["f1_50ms"])[1:])
    figures["median_error_ms"] = 1000 * float(np.median(np.abs(errors))) if errors else float("nan")
    figures["bias_ms"] = 1000 * float(np.median(errors)) if errors else float("nan")
    return figures


def main() -> None:
    """Measures the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=3_000_000)
    parser.add_argument("--json", type=Path, help="also write the figures here, as publish --metrics reads them")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_run(args.run)
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(Path(folder), args.clips, args.first_seed)
        figures = stroke_figures(Embedder(model, model.spec, args.run.name), clips)
    Console().print(figures)
    if args.json:
        args.json.write_text(json.dumps({"generated, as files through the embedder": figures}, indent=1))


if __name__ == "__main__":
    main()
