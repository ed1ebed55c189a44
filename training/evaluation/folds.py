"""`python -m training.evaluation.folds RUN --real RECORDS`: what the beat filter is worth on people and songs it has
not seen.

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
from training.data.records import ClipFeatures, RecordStore
from training.data.splits import folds
from training.evaluation import metrics
from training.evaluation.evaluate import group_of, load_run
from training.evaluation.tables import synchrony, table1
from training.evaluation.tables.inference import Seen, see_all
from training.fit_beat_filter import attach, fit

Figures = dict[str, dict[str, list[float]]]  # of each clip, by name: one value for each way of making folds


def measure(
    model: Mudar, records: list[ClipFeatures], count: int, seeds: Iterable[int], by_song: frozenset[str]
) -> Figures:
    """Figures of every clip, read by a filter that was fitted without its fold."""
    found: Figures = {record.clip_id: {} for record in records}
    _note(found, "bare_", list(see_all(model, records)), model)
    rounds = [(seed, held) for seed in seeds for held in folds(records, count, seed, by_song)]
    for _, held in track(rounds, "folds", transient=True):
        mine = set(held)
        whole = attach(model, fit([r for r in records if r.clip_id not in mine], model.spec.video))
        _note(found, "", list(see_all(whole, [r for r in records if r.clip_id in mine])), whole)
    return found


def _note(found: Figures, prefix: str, seen: list[Seen], model: Mudar) -> None:
    """Strokes against beats, and the rank of the true offset, of each clip."""
    ranks = synchrony.table(model, seen)
    beats = table1.table(seen, "beat")
    for index, one in enumerate(seen):
        row = found[one.record.clip_id]
        events = one.record.curves_s()["beat"]
        peaks = strokes_from_curve(one.curve(model.config.served_head), one.fps)[0]
        chance = metrics.chance_f1(events, peaks, table1.TOLERANCE_S, one.record.duration_s)
        figures = {name: beats[name][index] for name in ("f1", "chance", "lift", "null")}
        figures["best_lag_lift"] = beats["lag_f1"][index] - beats["lag_chance"][index]
        figures["peaks_lift"] = metrics.f1(events, peaks, table1.TOLERANCE_S) - chance
        figures |= {name: ranks[name][index] for name in ("curve_rank", "curve_top1", "null_curve_rank")}
        for name, value in figures.items():
            row.setdefault(prefix + name, []).append(value)


def summary(found: Figures, records: list[ClipFeatures]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Mean and interval over clips of each figure, by group."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(record.clip_id)
    told: dict[str, dict[str, tuple[float, float, float]]] = {}
    for group, ids in sorted(groups.items()):
        names = list(found[ids[0]])
        means = {name: np.array([np.mean(found[clip_id][name]) for clip_id in ids]) for name in names}
        told[group] = {name: metrics.bootstrap(values[~np.isnan(values)]) for name, values in means.items()}
    return told


def show(told: dict[str, dict[str, tuple[float, float, float]]], console: Console) -> None:
    """One table a group, in hundredths."""
    for group, figures in told.items():
        table = Table("figure", "mean", "95 %", title=group)
        for name, (mean, low, high) in figures.items():
            table.add_row(name, f"{100 * mean:.1f}", f"{100 * low:.1f} … {100 * high:.1f}")
        console.print(table)


def main() -> None:
    """See the module."""
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
    found = measure(load_run(args.run), records, args.folds, range(args.seeds), by_song)
    told = summary(found, records)
    show(told, Console())
    if args.json:
        args.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
