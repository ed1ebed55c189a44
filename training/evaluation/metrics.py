"""Pure figures: stroke F1 with its chance level, timing, retrieval, bootstrap intervals. numpy only; knows no model.

Conventions: times in seconds, ascending; a tolerance of 0.07 means within ±70 ms; every figure is in 0..1 unless its
name carries a unit. Chance = the same score after circularly shifting the estimates through the clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
SHIFTS = 60
_GOLDEN = 0.6180339887498949  # steps of it never fall in with a regular pulse, as even steps do


def matches(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float) -> list[tuple[int, int]]:
    """The largest one-to-one matching of times within the tolerance, as (reference, estimate) indices.

    On a line the greedy pass over both sorted lists is a maximum matching.
    """
    reference, estimated = np.asarray(reference_s, float), np.asarray(estimated_s, float)
    pairs, i, j = [], 0, 0
    while i < len(reference) and j < len(estimated):
        gap = estimated[j] - reference[i]
        if abs(gap) <= tolerance_s:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif gap < 0:
            j += 1
        else:
            i += 1
    return pairs


def precision_recall_f1(
    reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float
) -> tuple[float, float, float]:
    """Precision, recall and F1; all 0 when either list is empty."""
    reference, estimated = np.asarray(reference_s), np.asarray(estimated_s)
    if not len(reference) or not len(estimated):
        return 0.0, 0.0, 0.0
    hit = len(matches(reference, estimated, tolerance_s))
    return hit / len(estimated), hit / len(reference), 2 * hit / (len(reference) + len(estimated))


def f1(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float) -> float:
    """F1 of times within the tolerance."""
    return precision_recall_f1(reference_s, estimated_s, tolerance_s)[2]


def chance_f1(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float, duration_s: float) -> float:
    """Mean F1 over `SHIFTS` circular shifts of the estimates, all through the clip."""
    estimated = np.asarray(estimated_s, float)
    shifts = (np.arange(1, SHIFTS + 1) * _GOLDEN % 1.0) * duration_s
    return float(np.mean([f1(reference_s, np.sort((estimated + s) % duration_s), tolerance_s) for s in shifts]))


def timing_errors_s(reference_s: ArrayLike, estimated_s: ArrayLike, tolerance_s: float = 0.15) -> Array:
    """Estimate minus reference for each matched pair, in seconds."""
    reference, estimated = np.asarray(reference_s, float), np.asarray(estimated_s, float)
    return np.array([estimated[j] - reference[i] for i, j in matches(reference, estimated, tolerance_s)])


def bootstrap(values: ArrayLike, seed: int = 0, rounds: int = 2000) -> tuple[float, float, float]:
    """Mean over clips and its 95 % bootstrap interval (mean, low, high); NaN for no clips."""
    found = np.asarray(values, float)
    if not len(found):
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = found[rng.integers(len(found), size=(rounds, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(found.mean()), float(low), float(high)


def true_ranks(scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str]) -> NDArray[np.int_]:
    """For each query (row of scores (Q, N)) the rank, from 0, of its best item with its label; ties count against."""
    table, items = np.asarray(scores, float), np.asarray(item_labels)
    ranks = []
    for row, label in zip(table, query_labels, strict=True):
        best = row[items == label].max()
        ranks.append(int((row[items != label] >= best).sum()))
    return np.array(ranks)


def recall_at(ranks: NDArray[np.int_], k: int) -> float:
    """Share of queries with a right item among the first k."""
    return float((ranks < k).mean())


def average_precision(scores: ArrayLike, right: NDArray[np.bool_]) -> float:
    """Mean of the precision at each right item of one query, ties counted against it; 0 when there is none."""
    hit = _ordered(scores, right)
    if not hit.any():
        return 0.0
    return float((np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)).mean())


def precision_at(scores: ArrayLike, right: NDArray[np.bool_], k: int) -> float:
    """Share of right items among the first k of one query, ties counted against it; of fewer than k items, of all."""
    return float(_ordered(scores, right)[:k].mean())


def _ordered(scores: ArrayLike, right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`right` in the order of falling scores; among equal scores the wrong ones first."""
    flags = np.asarray(right, bool)
    return flags[np.lexsort((flags, -np.asarray(scores, float)))]


def retrieval_scores(
    scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str], allowed: ArrayLike | None = None
) -> dict[str, Array]:
    """Table 3 of each query that has a right item: r1, r5, p10 and map, (Q',) each; means over Q' are the table.

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
    """The expectation of each figure of `retrieval_scores` under a random order, exactly."""
    nothing = np.zeros((len(query_labels), len(item_labels)))
    rows = [
        _random_order(len(right), int(right.sum()))
        for _, right in _queries(nothing, query_labels, item_labels, allowed)
    ]
    names = ("r1", "r5", "p10", "map")
    return {name: float(np.mean([row[i] for row in rows])) if rows else float("nan") for i, name in enumerate(names)}


def _random_order(items: int, right: int) -> tuple[float, float, float, float]:
    """R@1, R@5, P@10 and average precision to expect of `right` among `items` in random order."""

    def recall(k: int) -> float:
        missed = np.prod([max(items - right - i, 0) / (items - i) for i in range(min(k, items))])
        return float(1.0 - missed)

    place = np.arange(1, items + 1)
    others = (place - 1) * (right - 1) / max(items - 1, 1)
    return recall(1), recall(5), right / items, float(((1 + others) / place).mean())


def _queries(
    scores: ArrayLike, query_labels: Sequence[str], item_labels: Sequence[str], allowed: ArrayLike | None
) -> list[tuple[Array, NDArray[np.bool_]]]:
    """(scores, right) over the gallery of each query that has a right item in it."""
    table, items = np.asarray(scores, float), np.asarray(item_labels)
    keep = np.ones(table.shape, bool) if allowed is None else np.asarray(allowed, bool)
    pairs = [(row[kept], (items == label)[kept]) for row, label, kept in zip(table, query_labels, keep, strict=True)]
    return [(row, right) for row, right in pairs if right.any()]
