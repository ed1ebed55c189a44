"""`python -m training.evaluation.downstream.retrieval`: which music a dance finds, and which dance a piece of music,
at every λ.

    python -m training.evaluation.downstream.retrieval --records data/real [--model mudar-small] [--plot sweep.png]
    python -m training.evaluation.downstream.retrieval --records data/real --rhythm tempo/head --rhythm repeats/grid
    --best-lag

Table 3's figures (R@1, R@5, P@10, mAP) and the mean rank, by song, both ways, for λ from 0 to 1 of (21), each beside
what a random order gives and with a bootstrap interval over songs, since clips of one song are no two witnesses.
`--rhythm KIND/FROM[/CONTEXT_S]` puts another rhythm vector in the place of the model's own (ModelConfig says which
there are); of several, and of the best-lag correlation that no index can hold, a table tells what rhythm alone finds.
Items are compared as the service does: by their best pair of segments. `mudar evaluate --retrieval` starts from clips.

Galleries: `songs`, one clip of every song, the query's own for its own song (the protocol of the model's card);
`clips`, every clip, those of the same song all being right; `others`, every clip but the query's own, so that a song
must be known by another dance to it.

Shapes: Q queries; N items; S segments of one; E, R the lengths of its vectors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from model_store.loader import load_served
from mudar.model.mudar import Mudar
from training.data.records import ClipFeatures, RecordStore
from training.evaluation import metrics
from training.evaluation.downstream import best_lag
from training.evaluation.evaluate import View, group_of, load_run, look

Gallery = Literal["songs", "clips", "others"]
Array = NDArray[np.float64]
LAMBDAS = tuple(round(0.1 * i, 1) for i in range(11))
DIRECTIONS = ("dance to music", "music to dance")
FIGURES = ("r1", "r5", "p10", "map", "rank")
_ROUNDS = 1000


@dataclass(frozen=True)
class Side:
    """The segments of every clip's dance, or of its music: embeddings (S, E) and rhythm vectors (S, R)."""

    embeddings: Sequence[NDArray[np.float32]]
    rhythms: Sequence[NDArray[np.float32]]


def scores(queries: Side, items: Side, lam: float) -> Array:
    """(Q, N) of (21): λ⟨E, E⟩ + (1 - λ)⟨R, R⟩ of the best pair of segments."""
    rows = np.concatenate([np.hstack(pair) for pair in zip(items.embeddings, items.rhythms, strict=True)])  # (ΣS, D)
    first = np.cumsum([0, *(len(rhythm) for rhythm in items.rhythms)])[:-1]
    found = []
    for embedding, rhythm in zip(queries.embeddings, queries.rhythms, strict=True):
        asked = np.hstack([lam * embedding, (1 - lam) * rhythm])
        found.append(np.maximum.reduceat((asked @ rows.T).max(axis=0), first))
    return np.array(found, np.float64)


def allowed(songs: Sequence[str], gallery: Gallery) -> NDArray[np.bool_]:
    """(Q, N): which of the clips' items each clip looks among."""
    names, own = np.asarray(songs), np.eye(len(songs), dtype=bool)
    if gallery == "clips":
        return np.ones_like(own)
    if gallery == "others":
        return ~own
    first = np.zeros(len(names), bool)
    first[np.unique(names, return_index=True)[1]] = True
    return own | (first & (names[:, None] != names))


def figures(table: Array, songs: Sequence[str], gallery: Gallery) -> dict[str, Any]:
    """[mean, low, high] of each figure over the queries that have a right item, and `queries`."""
    looks = allowed(songs, gallery)
    names = np.asarray(songs)
    right = (names[:, None] == names) & looks
    kept = np.flatnonzero(right.any(axis=1))
    each = metrics.retrieval_scores(table, songs, songs, looks)
    each["rank"] = np.array([_rank(table[q], right[q], looks[q]) for q in kept])
    found = {name: list(_over_songs(each[name], names[kept])) for name in FIGURES}
    return {"queries": len(kept), **found}


def sweep(views: Sequence[View], gallery: Gallery = "songs") -> dict[str, Any]:
    """All figures of some clips: by direction and λ, and what chance gives."""
    songs = [view.record.song_id for view in views]
    dance = Side([view.dance for view in views], [view.dance_rhythm for view in views])
    music = Side([view.music for view in views], [view.music_rhythm for view in views])
    chance = metrics.retrieval_chance(songs, songs, allowed(songs, gallery))
    found: dict[str, Any] = {"clips": len(songs), "songs": len(set(songs)), "chance": {**chance, "rank": 0.5}}
    for direction, (queries, items) in zip(DIRECTIONS, ((dance, music), (music, dance)), strict=True):
        found[direction] = {lam: figures(scores(queries, items, lam), songs, gallery) for lam in LAMBDAS}
    return found


def at_best_lag(views: Sequence[View], fps: float, gallery: Gallery = "songs") -> dict[str, Any]:
    """The figures of best-lag correlation, in the place of λ = 0."""
    songs, table = [view.record.song_id for view in views], best_lag.scores(views, fps)
    return {
        direction: {LAMBDAS[0]: figures(scored, songs, gallery)}
        for direction, scored in zip(DIRECTIONS, (table, table.T), strict=True)
    }


def _rank(row: Array, right: NDArray[np.bool_], looks: NDArray[np.bool_]) -> float:
    """Share of the wrong items that lie behind the best right one; of equal ones, half."""
    wrong, best = row[looks & ~right], row[right].max()
    return float((wrong < best).mean() + 0.5 * (wrong == best).mean()) if len(wrong) else 1.0


def _over_songs(values: Array, songs: NDArray[np.str_], seed: int = 0) -> tuple[float, float, float]:
    """Mean over queries, and its 95 % interval when whole songs are drawn."""
    if not len(values):
        return (float("nan"),) * 3
    _, song = np.unique(songs, return_inverse=True)
    total, count = np.bincount(song, values), np.bincount(song)
    drawn = np.random.default_rng(seed).integers(len(count), size=(_ROUNDS, len(count)))
    low, high = np.quantile(total[drawn].sum(axis=1) / count[drawn].sum(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def views_of(
    model: Mudar,
    records: Sequence[ClipFeatures],
    tick: Callable[[], None] = lambda: None,
    group: Callable[[ClipFeatures], str] = group_of,
) -> dict[str, list[View]]:
    """What the network says of each clip, by group."""
    groups: dict[str, list[View]] = {}
    for record in records:
        groups.setdefault(group(record), []).append(look(model, record))
        tick()
    return dict(sorted(groups.items()))


def with_rhythm(model: Mudar, choice: str | None) -> Mudar:
    """The same network, its rhythm vectors made as `choice` says; ValueError for what does not exist."""
    if choice is not None:
        names = ("rhythm_vector", "rhythm_vector_from", "rhythm_context_s")
        words: list[Any] = choice.split("/")
        if len(words) == len(names):
            words[-1] = float(words[-1])
        model.config = replace(model.config, **dict(zip(names, words, strict=False)))
    return model


def show(found: dict[str, Any], console: Console) -> None:
    """One table a group: a row for each direction and λ."""
    for group, results in found.items():
        table = _table(group, results, "", "λ")
        for direction in DIRECTIONS:
            for lam, row in results[direction].items():
                table.add_row(direction if lam == LAMBDAS[0] else "", f"{lam:.1f}", *_cells(row))
        console.print(table)


def compare(every: dict[str, dict[str, Any]], console: Console) -> None:
    """One table a group: a row for each choice of rhythm vector and direction, rhythm alone (λ = 0)."""
    for group, results in next(iter(every.values())).items():
        table = _table(group, results, "rhythm", "λ = 0")
        for choice, found in every.items():
            for direction in DIRECTIONS:
                table.add_row(choice, direction, *_cells(found[group][direction][LAMBDAS[0]]))
        console.print(table)


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
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--model", default="mudar-small", help="of the shelf: name, name@alias or name@version")
    parser.add_argument("--run", type=Path, help="folder of a training run, in place of a model of the shelf")
    parser.add_argument("--rhythm", action="append", help="KIND/FROM[/CONTEXT_S]; repeatable")
    parser.add_argument("--best-lag", action="store_true", help="also the correlation of the curves at their best lag")
    parser.add_argument("--gallery", choices=get_args(Gallery), default="songs")
    parser.add_argument("--plot", type=Path, help="draw the sweep over λ into this picture")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = [record for folder in args.records for record in RecordStore(folder).all()]
    console, every = Console(width=140), dict[str, dict[str, Any]]()
    for choice in args.rhythm or [None]:
        model = with_rhythm(load_run(args.run) if args.run else load_served(args.model).model, choice)
        groups = views_of(model, records)
        every[choice or "own"] = {group: sweep(views, args.gallery) for group, views in groups.items()}
    if args.rhythm is None:
        show(every["own"], console)
    if args.best_lag:
        fps = model.spec.video.fps
        every["best lag"] = {group: at_best_lag(views, fps, args.gallery) for group, views in groups.items()}
    if len(every) > 1:
        compare(every, console)
    if args.json:
        args.json.write_text(json.dumps(every, indent=1))
    if args.plot:
        from training.evaluation.downstream.lambda_plot import draw

        draw({name: found for name, found in every.items() if name != "best lag"}, args.plot)


if __name__ == "__main__":
    main()
