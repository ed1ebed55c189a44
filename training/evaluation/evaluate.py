"""Measures the network of a run on records, every figure beside its chance level.

    python -m training.evaluation.evaluate runs/small --records data/test --records data/real

Rhythm: F1 of the served strokes at ±50 and ±70 ms, the same after circular shifts, and the difference ("lift") with a
bootstrap interval over clips. Retrieval: each dance looks for its song among one stretch of every song.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mudar.model.mudar import Mudar
from training.checkpoint import load_run
from training.data.records import ClipFeatures, RecordStore
from training.evaluation import metrics
from training.evaluation.inference import (
    ClipPrediction,
    dance_vectors,
    first_of_each_song,
    music_vectors,
    predict_groups,
)

TOLERANCES_S = (0.05, 0.07)
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def rhythm_figures(predictions: list[ClipPrediction], head: str = "beat") -> dict[str, Any]:
    """Measures mean F1, chance and lift with their intervals over clips, and the median timing error.

    The strokes are those of the served head; the truth is that of `head`.
    """
    figures: dict[str, Any] = {"clips": len(predictions)}
    for tolerance_s in TOLERANCES_S:
        scores, chances, errors_s = [], [], []
        for prediction in predictions:
            duration_s, strokes_s = prediction.record.duration_s, prediction.served_strokes_s
            assert strokes_s is not None
            truth_s = prediction.record.curves_s()[head]
            truth_s = truth_s[(truth_s >= 0) & (truth_s < duration_s)]
            scores.append(metrics.f1(truth_s, strokes_s, tolerance_s))
            chances.append(metrics.chance_f1(truth_s, strokes_s, tolerance_s, duration_s))
            errors_s.append(metrics.timing_errors_s(truth_s, strokes_s))
        name = f"{round(tolerance_s * 1000)}ms"
        figures[f"f1_{name}"] = metrics.bootstrap(scores)[0]
        figures[f"chance_{name}"] = metrics.bootstrap(chances)[0]
        figures[f"lift_{name}"] = list(metrics.bootstrap(np.subtract(scores, chances)))
    every_s = np.concatenate(errors_s) if errors_s else np.zeros(0)
    figures["median_error_ms"] = float(np.median(np.abs(every_s)) * 1000) if len(every_s) else float("nan")
    figures["bias_ms"] = float(np.median(every_s) * 1000) if len(every_s) else float("nan")
    return figures


def retrieval_figures(predictions: list[ClipPrediction]) -> dict[str, Any]:
    """Measures how each song's first dance finds its song: R@1, R@5 and mean rank for each λ, beside chance."""
    library = first_of_each_song(predictions)
    songs = [prediction.record.song_id for prediction in library]
    dances, musics = dance_vectors(library), music_vectors(library)
    figures: dict[str, Any] = {"songs": len(songs), "chance_r1": 1 / len(songs), "chance_r5": min(5 / len(songs), 1.0)}
    for lam in LAMBDAS:
        ranks = metrics.true_ranks(metrics.hybrid_scores(dances, musics, lam), songs, songs)
        figures[f"lambda_{lam}"] = {
            "r1": metrics.recall_at(ranks, 1),
            "r5": metrics.recall_at(ranks, 5),
            "rank": float(1.0 - ranks.mean() / max(len(songs) - 1, 1)),
        }
    return figures


def song_ranks(predictions: list[ClipPrediction], lam: float) -> NDArray[np.float64]:
    """Ranks each song's music for its first dance, in order: 1 at the top, 0 at the bottom."""
    library = first_of_each_song(predictions)
    songs = [prediction.record.song_id for prediction in library]
    scores = metrics.hybrid_scores(dance_vectors(library), music_vectors(library), lam)
    ranks = metrics.true_ranks(scores, songs, songs)
    return np.asarray(1.0 - ranks / max(len(songs) - 1, 1), np.float64)


def figures(model: Mudar, records: list[ClipFeatures], tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Measures all figures for each group of records."""
    return {
        group: {"rhythm": rhythm_figures(predictions), "retrieval": retrieval_figures(predictions)}
        for group, predictions in predict_groups(model, records, tick).items()
    }


def show(groups: dict[str, Any], console: Console) -> None:
    """Prints the tables of rhythm and retrieval, a row for each group."""
    rhythm = Table("group", "clips", "F1 ±50", "chance", "F1 ±70", "chance", "lift ±70 (95 %)", "median |error|")
    retrieval = Table("group", "songs", "λ", "R@1", "chance", "R@5", "chance", "rank")
    for name, both in groups.items():
        r, q = both["rhythm"], both["retrieval"]
        lift, low, high = (100 * v for v in r["lift_70ms"])
        scores = [f"{r[key]:.3f}" for key in ("f1_50ms", "chance_50ms", "f1_70ms", "chance_70ms")]
        error = f"{r['median_error_ms']:.0f} ms ({r['bias_ms']:+.0f})"
        rhythm.add_row(name, str(r["clips"]), *scores, f"{lift:+.1f} ({low:+.1f} … {high:+.1f})", error)
        for lam in LAMBDAS:
            at = q[f"lambda_{lam}"]
            cells = [at["r1"], q["chance_r1"], at["r5"], q["chance_r5"], at["rank"]]
            retrieval.add_row(name, str(q["songs"]), str(lam), *(f"{cell:.3f}" for cell in cells))
    console.print(rhythm)
    console.print(retrieval)


def main() -> None:
    """Measures the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--only", type=Path, help="a file with one clip id a line: evaluate on these alone")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    only = set(args.only.read_text().split()) if args.only else None
    records = [r for folder in args.records for r in RecordStore(folder).all() if only is None or r.clip_id in only]
    groups = figures(load_run(args.run), records)
    show(groups, Console())
    if args.json:
        args.json.write_text(json.dumps(groups, indent=1))


if __name__ == "__main__":
    main()
