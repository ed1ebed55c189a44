"""The last step of one question's search: from a few hundred scored pairs to its k best items, in few calls.

What pairs.py does for many questions at once with arrays, done for one with the first pairs only: most of the time of
a small search is the calls, not the numbers. Knows numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mudar.index.ranking import MARGIN, TIE_DIGITS, Ints, Pairs, Questions, scored
from mudar.index.rows import Columns

_FIRST = 4  # times k pairs are sorted to begin with


def leaders(code: NDArray[Any], score: NDArray[Any], k: int, margin: float) -> Ints:
    """Places of the pairs (P,) that may be the best of one of the k best items; scores are right up to a margin.

    Fewer than k items are among them only if there are no more.
    """
    many = _FIRST * k
    while True:
        order = _first(score, many)
        kept, full = _kept(code[order].tolist(), score[order].tolist(), k, 2 * margin)
        if full or many >= len(score):
            return order[kept]
        many *= 8


def _first(score: NDArray[Any], count: int) -> Ints:
    if count >= len(score):
        return np.argsort(-score, kind="stable")
    best = np.argpartition(score, len(score) - count)[len(score) - count :]
    return best[np.argsort(-score[best], kind="stable")]


def _kept(codes: list[int], scores: list[float], k: int, slack: float) -> tuple[list[int], bool]:
    """Of pairs in falling order, those that may count; and whether no pair behind these may."""
    best: dict[int, float] = {}
    kept: list[int] = []
    bar = -np.inf
    for place, (code, score) in enumerate(zip(codes, scores, strict=True)):
        if score < bar:
            return kept, True
        own = best.setdefault(code, score)
        if own is score and len(best) == k:
            bar = score - slack
        if score >= own - slack:
            kept.append(place)
    return kept, False


def best_of_one(questions: Questions, query: Ints, row: Ints, columns: Columns, vectors: NDArray[Any], k: int) -> Pairs:
    """What pairs.best gives for one question, of the few pairs that `leaders` left."""
    pairs = scored(questions, query, row, columns.codes[row].astype(np.int64), columns.start_s[row], vectors)
    names: Sequence[str] = columns.names
    score, last = np.round(pairs.score, TIE_DIGITS).tolist(), np.round(pairs.embedding, TIE_DIGITS).tolist()
    code, start_s, asked_s = pairs.code.tolist(), pairs.start_s.tolist(), questions.start_s[query].tolist()
    order = sorted(range(len(code)), key=lambda i: (-score[i], names[code[i]], asked_s[i], start_s[i], -last[i]))
    first: dict[int, int] = {}
    for place in order:
        if code[place] not in first:
            first[code[place]] = place
            if len(first) == k:
                break
    return pairs.take(list(first.values()))


def best_found(
    questions: Questions,
    query: Ints,
    row: Ints,
    score: NDArray[Any],
    columns: Columns,
    vectors: NDArray[Any],
    k: int,
) -> Pairs:
    """The k best items of one question among pairs with float32 scores."""
    chosen = leaders(columns.codes[row], score, k, MARGIN)
    return best_of_one(questions, query[chosen], row[chosen], columns, vectors, k)
