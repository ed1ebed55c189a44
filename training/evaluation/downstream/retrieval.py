"""Measures which music a dance finds, and which dance a piece of music, at every λ of (21).

    python -m training.evaluation.downstream.retrieval --records data/real [--model mudar-small] [--plot sweep.png]
    python -m training.evaluation.downstream.retrieval --records data/real --rhythm tempo/head --rhythm repeats/grid
    --best-lag

Table 3's figures (R@1, R@5, P@10, mAP) and the mean rank, by song, both ways, for λ from 0 to 1 of (21), each beside
what a random order gives and with a bootstrap interval over songs, since clips of one song are no two witnesses.
`--rhythm KIND/FROM[/CONTEXT_S]` puts another rhythm descriptor in place of the model's own (ModelConfig says which
there are); of several, and of the best-lag correlation that no index can hold, a table says what rhythm alone finds.
Items are compared as the service does: by their best pair of segments. `mudar evaluate --retrieval` starts from clips.

Galleries: `songs`, one clip of every song, the query's own for its own song (the protocol of the model's card);
`clips`, every clip, those of the same song all being right; `others`, every clip but the query's own, so that a song
must be known by another dance to it.

Shapes: Q queries; N items; S segments of one; E, R the lengths of its vectors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from model_store.loader import load_served
from mudar.model.mudar import Mudar
from training.checkpoint import load_run
from training.data.records import RecordStore
from training.evaluation import metrics
from training.evaluation.downstream.synchrony import best_lag_scores
from training.evaluation.inference import ClipPrediction, dance_vectors, music_vectors, predict_groups

Gallery = Literal["songs", "clips", "others"]
Array = NDArray[np.float64]
LAMBDAS = tuple(round(0.1 * i, 1) for i in range(11))
DIRECTIONS = ("dance to music", "music to dance")
FIGURES = ("r1", "r5", "p10", "map", "rank")
RESAMPLES = 1000
PLOTTED = (("r5", "R@5"), ("rank", "rank (0.5 = chance)"))
PANEL_INCHES = (4.2, 3.2)


def allowed(songs: Sequence[str], gallery: Gallery) -> NDArray[np.bool_]:
    """Says (Q, N) which of the clips' items each clip is compared with."""
    names, own = np.asarray(songs), np.eye(len(songs), dtype=bool)
    if gallery == "clips":
        return np.ones_like(own)
    if gallery == "others":
        return ~own
    first = np.zeros(len(names), bool)
    first[np.unique(names, return_index=True)[1]] = True
    return own | (first & (names[:, None] != names))


def figures(scores: NDArray[np.floating], songs: Sequence[str], gallery: Gallery) -> dict[str, Any]:
    """Measures [mean, low, high] of each figure over the queries that have a right item, and counts `queries`."""
    gallery_items = allowed(songs, gallery)
    names = np.asarray(songs)
    right = (names[:, None] == names) & gallery_items
    queries = np.flatnonzero(right.any(axis=1))
    values = metrics.retrieval_scores(scores, songs, songs, gallery_items)
    values["rank"] = np.array([_rank(scores[q], right[q], gallery_items[q]) for q in queries])
    groups = [songs[q] for q in queries.tolist()]
    intervals = {name: list(metrics.bootstrap(values[name], groups, resamples=RESAMPLES)) for name in FIGURES}
    return {"queries": len(queries), **intervals}


def sweep(predictions: Sequence[ClipPrediction], gallery: Gallery = "songs") -> dict[str, Any]:
    """Measures all figures of some clips by direction and λ, and what chance gives."""
    songs = [prediction.record.song_id for prediction in predictions]
    dances, musics = dance_vectors(predictions), music_vectors(predictions)
    chance = metrics.retrieval_chance(songs, songs, allowed(songs, gallery))
    results: dict[str, Any] = {"clips": len(songs), "songs": len(set(songs)), "chance": {**chance, "rank": 0.5}}
    for direction, (queries, items) in zip(DIRECTIONS, ((dances, musics), (musics, dances)), strict=True):
        results[direction] = {
            lam: figures(metrics.hybrid_scores(queries, items, lam).astype(float), songs, gallery) for lam in LAMBDAS
        }
    return results


def at_best_lag(predictions: Sequence[ClipPrediction], fps: float, gallery: Gallery = "songs") -> dict[str, Any]:
    """Measures the figures of best-lag correlation, given in the form of λ = 0."""
    songs, scores = [prediction.record.song_id for prediction in predictions], best_lag_scores(predictions, fps)
    return {
        direction: {LAMBDAS[0]: figures(directed, songs, gallery)}
        for direction, directed in zip(DIRECTIONS, (scores, scores.T), strict=True)
    }


def _rank(row: Array, right: NDArray[np.bool_], gallery_items: NDArray[np.bool_]) -> float:
    """Counts the share of the wrong items that lie behind the best right one; of equal ones, half."""
    wrong, best = row[gallery_items & ~right], row[right].max()
    return float((wrong < best).mean() + 0.5 * (wrong == best).mean()) if len(wrong) else 1.0


def with_rhythm(model: Mudar, choice: str | None) -> Mudar:
    """Lets the network make its rhythm descriptors as `choice` says. ValueError for what does not exist."""
    if choice is not None:
        names = ("rhythm_vector", "rhythm_vector_from", "rhythm_context_s")
        words: list[Any] = choice.split("/")
        if len(words) == len(names):
            words[-1] = float(words[-1])
        model.config = replace(model.config, **dict(zip(names, words, strict=False)))
    return model


def show(results: dict[str, Any], console: Console) -> None:
    """Prints one table a group: a row for each direction and λ."""
    for group, swept in results.items():
        table = _table(group, swept, "", "λ")
        for direction in DIRECTIONS:
            for lam, row in swept[direction].items():
                table.add_row(direction if lam == LAMBDAS[0] else "", f"{lam:.1f}", *_cells(row))
        console.print(table)


def compare(results: dict[str, dict[str, Any]], console: Console) -> None:
    """Prints one table a group: a row for each choice of rhythm descriptor and direction, rhythm alone (λ = 0)."""
    for group, swept in next(iter(results.values())).items():
        table = _table(group, swept, "rhythm", "λ = 0")
        for choice, groups in results.items():
            for direction in DIRECTIONS:
                table.add_row(choice, direction, *_cells(groups[group][direction][LAMBDAS[0]]))
        console.print(table)


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws the sweep over λ, a row a group and a column a figure, both ways with their intervals, beside chance.

    `results`: by choice of rhythm descriptor, by group, what `sweep` gives.
    """
    from matplotlib.figure import Figure

    groups, (width, height) = list(next(iter(results.values()))), PANEL_INCHES
    figure = Figure(figsize=(width * len(PLOTTED), height * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), len(PLOTTED), squeeze=False)
    for row, group in zip(axes, groups, strict=True):
        for axis, (name, label) in zip(row, PLOTTED, strict=True):
            _plot_panel(axis, {choice: swept[group] for choice, swept in results.items()}, name)
            axis.set(title=group, xlabel="λ (0 = rhythm alone, 1 = embedding alone)", ylabel=label, ylim=(0, 1))
    axes[0][0].legend(fontsize=7)
    figure.savefig(path, dpi=150)


def _plot_panel(axis: Any, by_choice: dict[str, Any], name: str) -> None:
    import matplotlib as mpl

    palette = mpl.colormaps["tab10"]
    for number, (choice, swept) in enumerate(by_choice.items()):
        for direction, dash in (("dance to music", "-"), ("music to dance", "--")):
            rows = swept[direction]
            mean, low, high = zip(*(row[name] for row in rows.values()), strict=True)
            label = direction if choice == "own" else f"{choice}, {direction}"
            axis.plot(list(rows), mean, dash, color=palette(number), label=label)
            axis.fill_between(list(rows), low, high, color=palette(number), alpha=0.1)
        axis.axhline(swept["chance"][name], color="grey", linewidth=0.8, linestyle=":")


def _table(group: str, results: dict[str, Any], *first: str) -> Table:
    chance = results["chance"]
    about = f"{group}: {results['clips']} clips, {results['songs']} songs (in brackets: chance)"
    table = Table(*first, title=about)
    for name in FIGURES:
        table.add_column(f"{name} ({chance[name]:.3f})", no_wrap=True)
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    return ["{:.3f} ({:.2f}-{:.2f})".format(*row[name]) for name in FIGURES]


def main() -> None:
    """Measures the models and records that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--model", default="mudar-small", help="of the model store: name, name@alias or name@version")
    parser.add_argument("--run", type=Path, help="folder of a training run, in place of a model of the store")
    parser.add_argument("--rhythm", action="append", help="KIND/FROM[/CONTEXT_S]; repeatable")
    parser.add_argument("--best-lag", action="store_true", help="also the correlation of the curves at their best lag")
    parser.add_argument("--gallery", choices=get_args(Gallery), default="songs")
    parser.add_argument("--plot", type=Path, help="draw the sweep over λ into this image")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = [record for folder in args.records for record in RecordStore(folder).all()]
    console, results = Console(width=140), dict[str, dict[str, Any]]()
    for choice in args.rhythm or [None]:
        model = with_rhythm(load_run(args.run) if args.run else load_served(args.model).model, choice)
        groups = predict_groups(model, records)
        results[choice or "own"] = {group: sweep(clips, args.gallery) for group, clips in groups.items()}
    if args.rhythm is None:
        show(results["own"], console)
    if args.best_lag:
        fps = model.spec.video.fps
        results["best lag"] = {group: at_best_lag(clips, fps, args.gallery) for group, clips in groups.items()}
    if len(results) > 1:
        compare(results, console)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    if args.plot:
        plot({choice: groups for choice, groups in results.items() if choice != "best lag"}, args.plot)


if __name__ == "__main__":
    main()
