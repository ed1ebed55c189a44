"""`python -m training.evaluation.evaluate CHECKPOINT --records DIR …`: what a network is worth, always beside chance.

    python -m training.evaluation.evaluate runs/small --records data/test --records data/real

Rhythm: F1 of the served strokes at ±50 and ±70 ms, the same after circular shifts, and the difference ("lift") with a
bootstrap interval over clips. Retrieval: each dance looks for its song among one stretch of every song.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mudar.features.envelope import curve_at
from mudar.features.windows import Window, overlap_add, windows
from mudar.model.config import ModelConfig
from mudar.model.mudar import Mudar, build
from mudar.rhythm.descriptors import dance_descriptor, music_descriptor
from mudar.rhythm.postprocessing import postprocess
from mudar.spec import FeatureSpec
from training.baselines.registry import BASELINES, Network
from training.data.records import ClipFeatures, RecordStore, motion_rows
from training.evaluation import metrics

Array = NDArray[np.float32]
TOLERANCES_S = (0.05, 0.07)
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class View:
    """What a network says of one clip: the served curve (T,), strokes (N,) seconds, and its segments' vectors."""

    record: ClipFeatures
    curve: Array
    strokes_s: Array
    dance: Array  # (S, E)
    dance_rhythm: Array  # (S, R)
    music: Array  # (S, E)
    music_rhythm: Array  # (S, R)


@torch.inference_mode()
def look(model: Mudar, record: ClipFeatures) -> View:
    """Run the network over the clip's segments, as serving does: overlapping windows, their curves averaged."""
    spec, config = model.spec, model.config
    fps, rows = spec.video.fps, motion_rows(record, spec.video)
    where = windows(len(rows) / fps, len(rows), spec)
    seen = torch.from_numpy(np.stack([rows[w.first_frame : w.first_frame + w.frames] for w in where]))
    curves = overlap_add(torch.sigmoid(model.rhythm_logits(seen)).numpy(), where, len(rows))
    read = postprocess(config, curves, model.filtered(rows), fps)
    envelope = np.pad(record.envelope, (0, max(len(rows) - len(record.envelope), 0)))[: len(rows)]
    pulses = curve_at(record.audio[:, spec.audio.n_mels + 1], spec.audio, fps, len(rows))
    dance_rhythm = dance_descriptor(config, spec.video, rows, read.curve, where)
    music_rhythm = music_descriptor(config, spec.video, envelope, pulses, where)
    dance = model.encode_dance(seen).embedding.numpy()
    heard = _hear(model, record, where)
    return View(record, read.curve, read.times_s, dance, dance_rhythm, heard, music_rhythm)


def _hear(model: Mudar, record: ClipFeatures, where: list[Window]) -> Array:
    """(S, E) of the clip's music."""
    rate_hz, fps = model.spec.audio.frame_rate_hz, model.spec.video.fps
    length = min(round(where[0].frames / fps * rate_hz), len(record.audio))
    firsts = [min(round(w.first_frame / fps * rate_hz), len(record.audio) - length) for w in where]
    audio = np.stack([record.audio[first : first + length] for first in firsts])
    embedding: Array = model.encode_music(torch.from_numpy(audio), where[0].frames).embedding.numpy()
    return embedding


def rhythm_figures(views: list[View], head: str = "beat") -> dict[str, Any]:
    """Mean F1, chance and lift with their intervals over clips, and the median timing error."""
    figures: dict[str, Any] = {"clips": len(views)}
    for tolerance_s in TOLERANCES_S:
        scores, chances, errors = [], [], []
        for view in views:
            truth = view.record.curves_s()[head]
            truth = truth[(truth >= 0) & (truth < view.record.duration_s)]
            scores.append(metrics.f1(truth, view.strokes_s, tolerance_s))
            chances.append(metrics.chance_f1(truth, view.strokes_s, tolerance_s, view.record.duration_s))
            errors.append(metrics.timing_errors_s(truth, view.strokes_s))
        name = f"{round(tolerance_s * 1000)}ms"
        figures[f"f1_{name}"] = metrics.bootstrap(scores)[0]
        figures[f"chance_{name}"] = metrics.bootstrap(chances)[0]
        figures[f"lift_{name}"] = list(metrics.bootstrap(np.subtract(scores, chances)))
    every = np.concatenate(errors) if errors else np.zeros(0)
    figures["median_error_ms"] = float(np.median(np.abs(every)) * 1000) if len(every) else float("nan")
    figures["bias_ms"] = float(np.median(every) * 1000) if len(every) else float("nan")
    return figures


def retrieval_figures(views: list[View]) -> dict[str, Any]:
    """R@1, R@5 and mean rank of a dance's song among one clip's music of every song, for each λ; chance beside."""
    songs = list(dict.fromkeys(v.record.song_id for v in views))
    library = [next(v for v in views if v.record.song_id == song) for song in songs]
    embedding = _best_pairs([v.dance for v in library], [v.music for v in library])
    rhythm = _best_pairs([v.dance_rhythm for v in library], [v.music_rhythm for v in library])
    figures: dict[str, Any] = {"songs": len(songs), "chance_r1": 1 / len(songs), "chance_r5": min(5 / len(songs), 1.0)}
    for lam in LAMBDAS:
        ranks = metrics.true_ranks(_hybrid(library, lam, embedding, rhythm), songs, songs)
        figures[f"lambda_{lam}"] = {
            "r1": metrics.recall_at(ranks, 1),
            "r5": metrics.recall_at(ranks, 5),
            "rank": float(1.0 - ranks.mean() / max(len(songs) - 1, 1)),
        }
    return figures


def song_ranks(views: list[View], lam: float) -> NDArray[np.float64]:
    """Of each song, in order, the rank of its music for its first dance: 1 at the top, 0 at the bottom."""
    songs = list(dict.fromkeys(v.record.song_id for v in views))
    library = [next(v for v in views if v.record.song_id == song) for song in songs]
    embedding = _best_pairs([v.dance for v in library], [v.music for v in library])
    rhythm = _best_pairs([v.dance_rhythm for v in library], [v.music_rhythm for v in library])
    ranks = metrics.true_ranks(_hybrid(library, lam, embedding, rhythm), songs, songs)
    return np.asarray(1.0 - ranks / max(len(songs) - 1, 1), np.float64)


def _hybrid(library: list[View], lam: float, embedding: Array, rhythm: Array) -> Array:
    """(21) on the best segment pair; exact at both ends, where one of the two decides alone."""
    if lam in (0.0, 1.0):
        return embedding if lam else rhythm
    queries = [np.concatenate([lam * v.dance, (1 - lam) * v.dance_rhythm], axis=1) for v in library]
    return _best_pairs(queries, [np.concatenate([v.music, v.music_rhythm], axis=1) for v in library])


def _best_pairs(queries: list[Array], items: list[Array]) -> Array:
    """(Q, N) largest inner product of any segment of the query with any of the item."""
    return np.array([[float((q @ x.T).max()) for x in items] for q in queries], np.float32)


def group_of(record: ClipFeatures) -> str:
    """The row of the table that a record belongs to."""
    if record.origin == "generated":
        return "generated"
    return "real, " + record.clip_id.split("_")[0]


def figures(model: Mudar, records: list[ClipFeatures], tick: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """All figures for each group of records."""
    groups: dict[str, list[View]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(look(model, record))
        tick()
    return {
        name: {"rhythm": rhythm_figures(views), "retrieval": retrieval_figures(views)}
        for name, views in sorted(groups.items())
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    rhythm = Table("group", "clips", "F1 ±50", "chance", "F1 ±70", "chance", "lift ±70 (95 %)", "median |error|")
    retrieval = Table("group", "songs", "λ", "R@1", "chance", "R@5", "chance", "rank")
    for name, both in found.items():
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


def load_run(folder: Path) -> Mudar:
    """The averaged network of a run's folder."""
    recipe = json.loads((folder / "recipe.json").read_text())
    model = build(ModelConfig.from_dict(recipe["model"]), FeatureSpec.from_dict(recipe["features"]))
    model.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["average"])
    return model.eval()


def load_network(folder: Path) -> Network:
    """The averaged network of a run's folder, whichever system it is."""
    recipe = json.loads((folder / "recipe.json").read_text())
    kind, config = recipe.get("network", "mudar"), ModelConfig.from_dict(recipe["model"])
    if kind == "mudar":
        return load_run(folder)
    network = BASELINES[kind](config, FeatureSpec.from_dict(recipe["features"]))
    network.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["average"])
    return network.eval()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--only", type=Path, help="a file with one clip id a line: evaluate on these alone")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    only = set(args.only.read_text().split()) if args.only else None
    records = [r for folder in args.records for r in RecordStore(folder).all() if only is None or r.clip_id in only]
    found = figures(load_run(args.run), records)
    show(found, Console())
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
