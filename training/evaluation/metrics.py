"""Measures strokes (F1 beside its chance level, timing) and retrieval, with bootstrap intervals. Knows no model.

Conventions: times in seconds, ascending; a tolerance of 0.07 means within ±70 ms; every figure is in 0..1 unless its
name carries a unit. Matching and F1 are mir_eval's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mir_eval
import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from mudar.rhythm.metrics import chance_level

Array = NDArray[np.float64]
Vectors = NDArray[np.float32]
Columns = dict[str, list[float]]


def precision_recall_f1(
    reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float
) -> tuple[float, float, float]:
    """Measures precision, recall and F1 of times within the tolerance; all are 0 when either list is empty."""
    reference, estimated = np.asarray(reference_s, float), np.asarray(estimated_s, float)
    if not len(reference) or not len(estimated):
        return 0.0, 0.0, 0.0
    f1, precision, recall = mir_eval.onset.f_measure(reference, estimated, window=tolerance_s)
    return float(precision), float(recall), float(f1)


def f1(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float) -> float:
    """Measures F1 of times within the tolerance."""
    return precision_recall_f1(reference_s, estimated_s, tolerance_s)[2]


def chance_f1(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float, duration_s: float) -> float:
    """Measures the chance level: the mean F1 over circular shifts of the estimates, all through the clip."""
    return chance_level(lambda shifted_s: f1(reference_s, shifted_s, tolerance_s), estimated_s, duration_s)


def timing_errors_s(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float = 0.15) -> Array:
    """Lists estimate minus reference of each matched pair, in seconds."""
    reference, estimated = np.asarray(reference_s, float), np.asarray(estimated_s, float)
    if not len(reference) or not len(estimated):
        return np.zeros(0)
    pairs = mir_eval.util.match_events(reference, estimated, tolerance_s)
    return np.array([estimated[j] - reference[i] for i, j in pairs])


def bootstrap(
    values: ArrayLike, groups: Sequence[str] | None = None, seed: int = 0, resamples: int = 2000
) -> tuple[float, float, float]:
    """Averages values and gives the mean's 95 % bootstrap interval (mean, low, high); NaN for no values.

    With `groups`, one name for each value, whole groups are drawn: clips of one song are no independent witnesses.
    """
    array = np.asarray(values, float)
    if not len(array):
        return float("nan"), float("nan"), float("nan")
    mean = float(array.mean())
    index = np.arange(len(array)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    totals, counts = np.bincount(index, array), np.bincount(index)
    if len(totals) < 2:
        return mean, mean, mean

    def ratio(totals: Array, counts: Array, axis: int) -> Array:
        return np.asarray(totals.sum(axis=axis) / counts.sum(axis=axis))

    low, high = scipy.stats.bootstrap(
        (totals, counts), ratio, paired=True, vectorized=True, n_resamples=resamples, method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return mean, float(low), float(high)


@dataclass(frozen=True)
class SegmentVectors:
    """Holds the segments of each clip's dance, or of its music: embeddings (S, E) and rhythm descriptors (S, R)."""

    embeddings: Sequence[Vectors]
    rhythms: Sequence[Vectors]

    def weighted(self, lam: float, rhythm: float) -> list[Vectors]:
        """Joins each clip's embeddings and descriptors to (S, E + R); a weight of 0 leaves its part out."""
        if not rhythm:
            return list(self.embeddings)
        if not lam:
            return list(self.rhythms)
        return [np.hstack([lam * e, rhythm * r]) for e, r in zip(self.embeddings, self.rhythms, strict=True)]


def hybrid_scores(queries: SegmentVectors, items: SegmentVectors, lam: float) -> Vectors:
    """Scores (Q, N) by (21), λ⟨E, E⟩ + (1 - λ)⟨R, R⟩, of the best pair of segments, as serving does."""
    weighted = items.weighted(float(lam > 0), float(lam < 1))
    return best_pair_scores(queries.weighted(lam, 1 - lam), weighted)


def best_pair_scores(queries: Sequence[Vectors], items: Sequence[Vectors]) -> Vectors:
    """Finds the largest inner product (Q, N) of any row of each query with any row of each item."""
    starts = np.cumsum([0, *(len(item) for item in items[:-1])])
    rows = np.concatenate(list(items))
    return np.stack([np.maximum.reduceat((query @ rows.T).max(axis=0), starts) for query in queries])


def true_ranks(scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str]) -> NDArray[np.int_]:
    """Ranks, from 0, each query's best item with its label by the scores (Q, N); ties count against it."""
    table, items = np.asarray(scores, float), np.asarray(item_labels)
    ranks = []
    for row, label in zip(table, query_labels, strict=True):
        best = row[items == label].max()
        ranks.append(int((row[items != label] >= best).sum()))
    return np.array(ranks)


def recall_at(ranks: NDArray[np.int_], k: int) -> float:
    """Counts the share of queries with a right item among the first k."""
    return float((ranks < k).mean())


def average_precision(scores: ArrayLike, right: NDArray[np.bool_]) -> float:
    """Averages the precision at each right item of one query, ties counted against it; 0 when there is none."""
    hit = _ordered(scores, right)
    if not hit.any():
        return 0.0
    return float((np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)).mean())


def precision_at(scores: ArrayLike, right: NDArray[np.bool_], k: int) -> float:
    """Counts the share of right items among the first k of one query (or all, if fewer), ties counted against it."""
    return float(_ordered(scores, right)[:k].mean())


def _ordered(scores: ArrayLike, right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sorts `right` by falling scores; among equal scores the wrong ones come first."""
    flags = np.asarray(right, bool)
    return flags[np.lexsort((flags, -np.asarray(scores, float)))]


def retrieval_scores(
    scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str], allowed: ArrayLike | None = None
) -> dict[str, Array]:
    """Measures r1, r5, p10 and map, (Q',) each, of each query that has a right item; table 3 is their means.

    scores: (Q, N). An item is right when its label is the query's. `allowed` (Q, N) bool leaves items out of a
    query's gallery: the dance that the query's own sound was filmed with, say.
    """
    rows: dict[str, list[float]] = {"r1": [], "r5": [], "p10": [], "map": []}
    for row, right in _queries(scores, query_labels, item_labels, allowed):
        first = int(np.argmax(_ordered(row, right)))
        rows["r1"].append(float(first < 1))
        rows["r5"].append(float(first < 5))
        rows["p10"].append(precision_at(row, right, 10))
        rows["map"].append(average_precision(row, right))
    return {name: np.array(values) for name, values in rows.items()}


def retrieval_chance(
    query_labels: Sequence[str], item_labels: Sequence[str], allowed: ArrayLike | None = None
) -> dict[str, float]:
    """Computes what each figure of `retrieval_scores` is expected to be under a random order, exactly."""
    nothing = np.zeros((len(query_labels), len(item_labels)))
    rows = [
        _random_order(len(right), int(right.sum()))
        for _, right in _queries(nothing, query_labels, item_labels, allowed)
    ]
    names = ("r1", "r5", "p10", "map")
    return {name: float(np.mean([row[i] for row in rows])) if rows else float("nan") for i, name in enumerate(names)}


def _random_order(items: int, right: int) -> tuple[float, float, float, float]:
    """Expects R@1, R@5, P@10 and average precision of `right` items among `items` in random order."""

    def recall(k: int) -> float:
        missed = np.prod([max(items - right - i, 0) / (items - i) for i in range(min(k, items))])
        return float(1.0 - missed)

    rank = np.arange(1, items + 1)
    others = (rank - 1) * (right - 1) / max(items - 1, 1)
    return recall(1), recall(5), right / items, float(((1 + others) / rank).mean())


def _queries(
    scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str], allowed: ArrayLike | None
) -> list[tuple[Array, NDArray[np.bool_]]]:
    """Lists (scores, right) over the gallery of each query that has a right item in it."""
    table, items = np.asarray(scores, float), np.asarray(item_labels)
    gallery = np.ones(table.shape, bool) if allowed is None else np.asarray(allowed, bool)
    pairs = [(row[own], (items == label)[own]) for row, label, own in zip(table, query_labels, gallery, strict=True)]
    return [(row, right) for row, right in pairs if right.any()]


def retrieval_columns(scores: Vectors, dances: list[str], songs: list[str]) -> dict[str, Columns]:
    """Makes table 3 from the scores (Q, N) of dances and songs, each given by its song's name.

    "songs" has a value for each song that looks for its dances, "dances" one for each dance that looks for its song,
    "chance" what a random order gives, and "null" the songs' figures with another song's answers.
    """
    return {
        "songs": _lists(retrieval_scores(scores.T, songs, dances)),
        "chance": {name: [value] for name, value in retrieval_chance(songs, dances).items()},
        "null": _lists(retrieval_scores(scores.T, np.roll(songs, 1).tolist(), dances)),
        "dances": song_search(scores, dances, songs),
    }


def song_search(scores: Vectors, dances: Sequence[str], songs: Sequence[str]) -> Columns:
    """Measures r1, r5 and rank (1 at the top, 0 at the bottom) of each dance's song by the scores (Q, N) of N songs."""
    ranks = true_ranks(scores, dances, songs)
    last = max(len(songs) - 1, 1)
    return {
        "r1": (ranks < 1).astype(float).tolist(),
        "r5": (ranks < 5).astype(float).tolist(),
        "rank": (1.0 - ranks / last).tolist(),
        "chance_r1": [1 / len(songs)] * len(ranks),
        "chance_r5": [min(5 / len(songs), 1.0)] * len(ranks),
    }


def _lists(columns: dict[str, Array]) -> Columns:
    return {name: values.tolist() for name, values in columns.items()}
