"""Measures what the beat filter is worth on people and songs that it has not seen, by folds.

    python -m training.evaluation.folds runs/small-synthetic --real data/real --by-song erickrex

Clips in folds by source and song (a source named by --by-song in folds by song alone). Each fold's clips are read by
the run's network with a filter fitted on the other folds. Repeated over several ways of making folds; a clip's figure
is its mean over these, and intervals are 95 % bootstrap over clips. Chance, other clips' music and the network without
a filter stand beside.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mudar.model.mudar import Mudar
from mudar.rhythm.peaks import strokes_from_curve
from training.checkpoint import load_run
from training.data.records import ClipFeatures, RecordStore
from training.data.splits import folds
from training.evaluation import metrics
from training.evaluation.downstream import synchrony
from training.evaluation.inference import ClipPrediction, group_of, predict_all
from training.evaluation.tables import table1
from training.fit_beat_filter import attach, fit

Figures = dict[str, dict[str, list[float]]]  # of each clip, by name: one value for each way of making folds
Summary = dict[str, dict[str, tuple[float, float, float]]]  # (mean, low, high) of each figure, by group


def measure(
    model: Mudar, records: list[ClipFeatures], count: int, seeds: Iterable[int], by_song: frozenset[str]
) -> Figures:
    """Measures every clip with a filter that was fitted without its fold."""
    figures: Figures = {record.clip_id: {} for record in records}
    _add_figures(figures, "bare_", list(predict_all(model, records)), model)
    parts = [set(fold) for seed in seeds for fold in folds(records, count, seed, by_song)]
    for held_out in track(parts, "folds", transient=True):
        filtered = attach(model, fit([r for r in records if r.clip_id not in held_out], model.spec.video))
        predictions = list(predict_all(filtered, [r for r in records if r.clip_id in held_out]))
        _add_figures(figures, "", predictions, filtered)
    return figures


def _add_figures(figures: Figures, prefix: str, predictions: list[ClipPrediction], model: Mudar) -> None:
    """Adds the F1 of strokes against beats, and the rank of the true offset, of each clip."""
    ranks = synchrony.table(model, predictions)
    beats = table1.table(predictions, "beat")
    for index, prediction in enumerate(predictions):
        record = prediction.record
        events_s = record.curves_s()["beat"]
        peaks_s = strokes_from_curve(prediction.curve(model.config.served_head), prediction.fps)[0]
        chance = metrics.chance_f1(events_s, peaks_s, table1.TOLERANCE_S, record.duration_s)
        values = {name: beats[name][index] for name in ("f1", "chance", "lift", "null")}
        values["best_lag_lift"] = beats["lag_f1"][index] - beats["lag_chance"][index]
        values["peaks_lift"] = metrics.f1(events_s, peaks_s, table1.TOLERANCE_S) - chance
        values |= {name: ranks[name][index] for name in ("curve_rank", "curve_top1", "null_curve_rank")}
        for name, value in values.items():
            figures[record.clip_id].setdefault(prefix + name, []).append(value)


def summary(figures: Figures, records: list[ClipFeatures]) -> Summary:
    """Averages each figure over clips, by group; NaN does not count."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(record.clip_id)
    result: Summary = {}
    for group, ids in sorted(groups.items()):
        names = list(figures[ids[0]])
        means = {name: np.array([np.mean(figures[clip_id][name]) for clip_id in ids]) for name in names}
        result[group] = {name: metrics.bootstrap(values[~np.isnan(values)]) for name, values in means.items()}
    return result


def show(result: Summary, console: Console) -> None:
    """Prints one table a group, in hundredths."""
    for group, figures in result.items():
        table = Table("figure", "mean", "95 %", title=group)
        for name, (mean, low, high) in figures.items():
            table.add_row(name, f"{100 * mean:.1f}", f"{100 * low:.1f} … {100 * high:.1f}")
        console.print(table)


def main() -> None:
    """Measures the run and records that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--by-song", action="append", default=[])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = [record for record in RecordStore(args.real).all() if len(record.curves_s()["beat"])]
    by_song = frozenset(args.by_song)
    if sum(bool(part) for part in folds(records, args.folds, 0, by_song)) < 2:
        parser.error(
            f"{len(records)} clips with beats lie in fewer than two folds, since those of one source stay together: "
            "name the source by --by-song, to part it by song, or tell the sources apart by preprocess --table"
        )
    figures = measure(load_run(args.run), records, args.folds, range(args.seeds), by_song)
    result = summary(figures, records)
    show(result, Console())
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
