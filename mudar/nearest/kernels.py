"""The inner loops of the exact search, compiled by numba when first imported (some seconds; compiled.py decides when).

Rows whose bound cannot reach the bar of their question are passed over; the others are scored, in float32 and, where
that leaves doubt, in float64; each question keeps its k best items and raises its bar. Scores that are equal to nine
digits are not ordered here: their question is marked, and answered by scan.py.

Shapes: B bounds of a block of rows, Q query segments of G questions, D = E + R numbers of N rows, k items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

ROUNDING = np.float32(1e-6)  # as in sketch.py
TIE = 1.01e-9  # scores closer than this may be equal to nine digits
_RUN = 16  # bounds of a query that are looked at together
_LANES = 256  # runs, times queries, that lie between each other
_GUESSES = 4  # for each row that a first guess at the bar shall let through
_SORTED = 64  # of a first guess: more are parted, not sorted
_LOOK = 128  # rows that are scored together


def _compiled(fast: bool = False) -> Any:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz", "nnan"} if fast else False}

    def decorate(function: Any) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # nowhere to keep what was compiled: compile anew in each process
            return njit(cache=False, **options)(function)

    return decorate


@_compiled(fast=True)
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0.0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@_compiled(fast=True)
def _dot64(a: Any, b: Any) -> Any:
    total = 0.0
    for i in range(len(a)):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@_compiled(fast=True)
def _keep_larger(values: Any, best: Any) -> None:
    """Into best (n,) what is larger of values (n or fewer,)."""
    for place in range(len(values)):
        value = values[place]
        best[place] = value if value > best[place] else best[place]


@_compiled(fast=True)
def _highest(values: Any, lanes: Any, best: Any) -> None:
    """Into best the largest of each _RUN values, `lanes` apart: neighbours belong to different runs, so that a
    compiler can vectorise. best (n * lanes,), n * _RUN * lanes >= len(values); what has no value stays as it is."""
    into = 0
    for first in range(0, len(values), _RUN * lanes):
        mine = best[into : into + lanes]
        for start in range(first, min(first + _RUN * lanes, len(values)), lanes):
            _keep_larger(values[start : start + lanes], mine)
        into += lanes


@_compiled(fast=True)
def _shorten(turned: Any, heads: Any, weight: Any, out: Any) -> None:
    """The short form of one part of a query, from its numbers along all axes (sketch.py)."""
    rest = np.float32(0.0)
    for j in range(heads):
        out[j] = weight * turned[j]
    for j in range(heads, len(turned)):
        rest += turned[j] * turned[j]
    out[heads] = weight * np.sqrt(rest) + ROUNDING


@_compiled()
def prepare(asked: Any, q: Any, turned: Any, heads: Any, short: Any) -> None:
    """Weighted queries q (Q, D), and, from their parts' numbers along all axes, their short forms (Q, m + n + 2)."""
    embeddings, rhythms, lam, group = asked
    split = embeddings.shape[1]
    for i in range(len(q)):
        e, r = np.float32(lam[group[i]]), np.float32(1.0 - lam[group[i]])
        for j in range(split):
            q[i, j] = e * embeddings[i, j]
        for j in range(rhythms.shape[1]):
            q[i, split + j] = r * rhythms[i, j]
        if short.shape[1] > 0:
            _shorten(turned[0][i], heads[0], e, short[i, : heads[0] + 1])
            _shorten(turned[1][i], heads[1], r, short[i, heads[0] + 1 :])


@_compiled()
def _offer(
    top: Any, score: Any, filled: Any, tied: Any, g: Any, code: Any, row: Any, query: Any, e: Any, r: Any, lam: Any
) -> None:
    """Take a pair among the best of question g, or leave it. top (G, k, 3): code, row, query; score (G, k, 3) falls."""
    value = lam * e + (1 - lam) * r
    k = score.shape[1]
    count = filled[g]
    at = 0
    while at < count and top[g, at, 0] != code:
        at += 1
    if at < count:  # the item is there already
        if abs(value - score[g, at, 0]) <= TIE:
            tied[g] = True
        if value <= score[g, at, 0]:
            return
    elif count < k:
        filled[g] = count + 1
    else:
        at = k - 1  # the last one goes
        last = score[g, at, 0]
        if abs(value - last) <= TIE or (k > 1 and value > last and score[g, k - 2, 0] - last <= TIE):
            tied[g] = True
        if value <= last:
            return
    while at > 0 and score[g, at - 1, 0] < value:
        for j in range(3):
            score[g, at, j], top[g, at, j] = score[g, at - 1, j], top[g, at - 1, j]
        at -= 1
    score[g, at, 0], score[g, at, 1], score[g, at, 2] = value, e, r
    top[g, at, 0], top[g, at, 1], top[g, at, 2] = code, row, query


@_compiled()
def _bar(score: Any, filled: Any, g: Any, slack: Any) -> Any:
    """Below this a float32 score cannot belong to one of the k best items."""
    k = score.shape[1]
    return np.float32(score[g, k - 1, 0] - slack) if filled[g] == k else np.float32(-np.inf)


@_compiled(fast=True)
def _guess(run_best: Any, wanted: Any, folded: Any, largest: Any) -> Any:
    """About the `wanted`-th largest, no higher. folded (n,) and largest (m,) are room, of which as much is used."""
    count = min(_GUESSES * wanted, len(run_best))
    if wanted >= count:
        return np.float32(-np.inf)
    folded[:count] = -np.inf
    for start in range(0, len(run_best), count):
        _keep_larger(run_best[start : start + count], folded[:count])
    if wanted > len(largest):
        return np.partition(folded[:count], count - wanted)[count - wanted]
    largest[:wanted] = -np.inf
    for place in range(count):
        value, at = folded[place], wanted - 1
        if value <= largest[at]:
            continue
        while at > 0 and largest[at - 1] < value:
            largest[at] = largest[at - 1]
            at -= 1
        largest[at] = value
    return largest[wanted - 1]


@_compiled()
def _look(rows: Any, scores: Any, i: Any, slack: Any, asked: Any, vectors: Any, codes: Any, best: Any) -> None:
    """Offer some rows (n,) to query segment i, best first. All their scores come before, so that memory is not waited
    for row by row."""
    q, embeddings, rhythms, lam, group = asked
    top, score, filled, tied = best
    g, count, split, weighted = group[i], len(rows), embeddings.shape[1], q[i]
    embedding, rhythm = embeddings[i], rhythms[i]
    for place in range(count):
        scores[place] = _dot(weighted, vectors[rows[place]])
    for _ in range(count):
        first = 0
        for place in range(1, count):
            if scores[place] > scores[first]:
                first = place
        if scores[first] < _bar(score, filled, g, slack):
            break
        scores[first] = -np.inf
        row = rows[first]
        x = vectors[row]
        e, r = _dot64(embedding, x[:split]), _dot64(rhythm, x[split:])
        _offer(top, score, filled, tied, g, codes[row], row, i, e, r, lam[g])


@_compiled()
def _room(runs: Any) -> Any:
    """What `_pass` works with, for so many runs: made once."""
    return (
        np.empty(_LOOK, np.int64), np.empty(_LOOK, np.float32),
        np.empty(runs, np.float32), np.empty(_SORTED, np.float32),
    )  # fmt: skip


@_compiled()
def _pass(
    bounds: Any,
    run_best: Any,
    width: Any,
    i: Any,
    first: Any,
    slack: Any,
    asked: Any,
    vectors: Any,
    codes: Any,
    allowed: Any,
    best: Any,
    room: Any,
) -> None:
    """Offer query segment i the rows, from `first` on, whose bounds (B,) let hope; run_best: the best of each run."""
    score, filled = best[1], best[2]
    rows, scores, folded, largest = room
    g, k, size, runs = asked[4][i], score.shape[1], len(bounds), len(run_best)
    ceiling, floor = np.float32(np.inf), np.float32(-np.inf)
    if filled[g] < k:  # the most hopeful first, so that the bar is high when the rest is looked at
        floor = _guess(run_best, k + k // 2, folded, largest)
    while ceiling > -np.inf:
        least, count = max(_bar(score, filled, g, slack), floor), 0
        for run in range(runs):
            if run_best[run] < least:
                continue
            start = run // width * _RUN * width + run % width
            for j in range(start, min(start + _RUN * width, size), width):
                bound = bounds[j]
                if bound < least or bound >= ceiling or (len(allowed) > 0 and not allowed[first + j]):
                    continue
                rows[count] = first + j
                count += 1
                if count == _LOOK:
                    _look(rows, scores, i, slack, asked, vectors, codes, best)
                    least, count = max(_bar(score, filled, g, slack), floor), 0
        _look(rows[:count], scores, i, slack, asked, vectors, codes, best)
        ceiling, floor = floor, np.float32(-np.inf)


@_compiled()
def sweep(
    bounds: Any, query: Any, first: Any, slack: Any, asked: Any, vectors: Any, codes: Any, allowed: Any, best: Any
) -> None:
    """Offer what a block of bounds (B, q) lets hope for: of the rows from `first` and the queries from `query` on.

    slack: what rounding may add to a score.
    asked: weighted queries (Q, D), their parts (Q, E) and (Q, R), lam (G,), group (Q,). allowed (N,); (0,) = all.
    best: top, score, filled, tied, kept between blocks.
    """
    size, queries = bounds.shape
    width = (_LANES + queries - 1) // queries  # runs that lie between each other
    runs = (size + _RUN * width - 1) // (_RUN * width) * width
    every_best, run_best = np.full(runs * queries, -np.inf, np.float32), np.empty(runs, np.float32)
    _highest(bounds.reshape(-1), width * queries, every_best)
    room = _room(runs)
    for place in range(queries):
        for run in range(runs):
            run_best[run] = every_best[run * queries + place]
        _pass(bounds[:, place], run_best, width, query + place, first, slack, asked, vectors, codes, allowed, best,
              room)  # fmt: skip


@_compiled()
def sweep_each(
    bounds: Any, query: Any, first: Any, slack: Any, asked: Any, vectors: Any, codes: Any, allowed: Any, best: Any
) -> None:
    """As `sweep`, of bounds (q, B): a query's lie together, near the core while it is looked at."""
    queries, size = bounds.shape
    run_best = np.empty((size + _RUN * _LANES - 1) // (_RUN * _LANES) * _LANES, np.float32)
    room = _room(len(run_best))
    for place in range(queries):
        run_best[:] = -np.inf
        _highest(bounds[place], _LANES, run_best)
        _pass(bounds[place], run_best, _LANES, query + place, first, slack, asked, vectors, codes, allowed, best,
              room)  # fmt: skip


@_compiled()
def weigh(query: Any, rows: Any, slack: Any, asked: Any, vectors: Any, codes: Any, best: Any) -> None:
    """Offer pairs (P,) of a query segment and a row, the most hopeful first."""
    score = np.empty(1, np.float32)
    for place in range(len(rows)):
        _look(rows[place : place + 1], score, query[place], slack, asked, vectors, codes, best)
