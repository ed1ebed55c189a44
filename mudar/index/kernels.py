"""The inner loops of the exact search, compiled by numba when first imported (some seconds; compiled.py decides when).

Rows whose bound cannot reach the bar of their question are passed over; the others are scored, in float32 and, where
that leaves doubt, in float64; each question keeps its k best items and raises its bar. Scores that are equal to nine
digits are not ordered here: their question is marked, and answered by scan.py.

Shapes: B bounds of a block of rows, Q query segments of G questions, D = E + R numbers of N rows, k items.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mudar.index.jit import jitted

ROUNDING = np.float32(1e-6)  # as in sketch.py
TIE = 1.01e-9  # scores closer than this may be equal to nine digits
_SLIP = np.float32(1e-5)  # between two ways to make one bound, that of tiles.py and that of `_dot`
_RUN = 16  # bounds in memory that are looked at together
_ROUND = 256  # runs, times queries, that lie between each other where bounds are in memory
_GUESSES = 4  # for each row that a first guess at the bar shall let through
_SORTED = 64  # of a first guess: more are parted, not sorted
_LOOK = 128  # rows that are scored together, _MOST of one run
_MOST = 64


@jitted(fast=True)
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0.0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@jitted(fast=True)
def _dots(a: Any, rows: Any, vectors: Any, out: Any) -> None:
    """Into out (n,) the inner products of `a` with some rows; of four at once, so that memory is not waited for row by
    row."""
    fours = len(rows) // 4 * 4
    for place in range(0, fours, 4):
        b, c = vectors[rows[place]], vectors[rows[place + 1]]
        d, e = vectors[rows[place + 2]], vectors[rows[place + 3]]
        one, two, three, four = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for i in range(len(a)):
            one, two, three, four = one + a[i] * b[i], two + a[i] * c[i], three + a[i] * d[i], four + a[i] * e[i]
        out[place], out[place + 1], out[place + 2], out[place + 3] = one, two, three, four
    for place in range(fours, len(rows)):
        out[place] = _dot(a, vectors[rows[place]])


@jitted(fast=True)
def _dot64(a: Any, b: Any) -> Any:
    total = 0.0
    for i in range(len(a)):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@jitted(fast=True)
def _keep_larger(values: Any, best: Any) -> None:
    """Into best (n,) what is larger of values (n or fewer,)."""
    for place in range(len(values)):
        value = values[place]
        best[place] = value if value > best[place] else best[place]


@jitted(fast=True)
def _highest(values: Any, lanes: Any, best: Any) -> None:
    """Into best the largest of each _RUN values, `lanes` apart: neighbours belong to different runs, so that a
    compiler can vectorise. best (n * lanes,), n * _RUN * lanes >= len(values); what has no value stays as it is."""
    into = 0
    for first in range(0, len(values), _RUN * lanes):
        mine = best[into : into + lanes]
        for start in range(first, min(first + _RUN * lanes, len(values)), lanes):
            _keep_larger(values[start : start + lanes], mine)
        into += lanes


@jitted(fast=True)
def _shorten(turned: Any, heads: Any, weight: Any, out: Any) -> None:
    """The short form of one part of a query, from its numbers along all axes (sketch.py)."""
    rest = np.float32(0.0)
    for j in range(heads):
        out[j] = weight * turned[j]
    for j in range(heads, len(turned)):
        rest += turned[j] * turned[j]
    out[heads] = weight * np.sqrt(rest) + ROUNDING


@jitted()
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


@jitted()
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


@jitted()
def _bar(score: Any, filled: Any, g: Any, slack: Any) -> Any:
    """Below this a float32 score cannot belong to one of the k best items."""
    k = score.shape[1]
    return np.float32(score[g, k - 1, 0] - slack) if filled[g] == k else np.float32(-np.inf)


@jitted(fast=True)
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


@jitted()
def _look(rows: Any, scores: Any, i: Any, slack: Any, asked: Any, vectors: Any, codes: Any, best: Any) -> None:
    """Offer some rows (n,) to query segment i, best first."""
    q, embeddings, rhythms, lam, group = asked
    top, score, filled, tied = best
    g, count, split = group[i], len(rows), embeddings.shape[1]
    embedding, rhythm = embeddings[i], rhythms[i]
    _dots(q[i], rows, vectors, scores)
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


@jitted()
def _room(runs: Any) -> Any:
    """What the passes work with, for so many runs: made once."""
    return (
        np.empty(_LOOK, np.int64), np.empty(_LOOK, np.float32),
        np.empty(runs, np.float32), np.empty(_SORTED, np.float32),
    )  # fmt: skip


@jitted()
def _in_memory(run: Any, sieve: Any, least: Any, ceiling: Any, allowed: Any, rows: Any, count: Any) -> Any:
    """Append the rows of a run whose bounds lie in least..ceiling to rows[:count]; returns how many there are then.

    sieve: bounds (B,) of rows from `first` on, and how far the rows of a run lie apart.
    """
    bounds, width, first = sieve
    start = run // width * _RUN * width + run % width
    for j in range(start, min(start + _RUN * width, len(bounds)), width):
        if least <= bounds[j] < ceiling and (len(allowed) == 0 or allowed[first + j]):
            rows[count] = first + j
            count += 1
    return count


@jitted()
def _in_tiles(run: Any, sieve: Any, least: Any, ceiling: Any, allowed: Any, rows: Any, count: Any) -> Any:
    """As `_in_memory`, of a run of which tiles.py kept the best.

    Of those but the last it is known which rows they are. The last tells whether any other row may be meant: if so,
    each is asked.
    """
    kept, told, lane, first, size, question, short, span = sieve
    begins, total = first + run * size, len(short)
    start, named = min(begins, total - size), (-1, -1)
    for place in range(len(kept)):
        bound = kept[place, run, lane]
        if bound < least - _SLIP:
            return count
        if place < len(kept) - 1:
            row = start + (told[place, run, lane] & (size - 1))
            named = (named[1], row)
            if least <= bound < ceiling and row >= begins and (len(allowed) == 0 or allowed[row]):
                rows[count] = row
                count += 1
    for row in range(begins, min(begins + size, total)):
        if row == named[0] or row == named[1] or (len(allowed) > 0 and not allowed[row]):
            continue
        if least <= _dot(question, short[row, span[0] : span[1]]) < ceiling:
            rows[count] = row
            count += 1
    return count


def _passing(gather: Any) -> Any:
    """A loop that offers query segment i the rows of runs (S,) whose bounds let hope, as `gather` knows them."""

    @jitted(keep=False)  # what calls it is kept, and has it inside
    def offer(
        run_best: Any, sieve: Any, i: Any, slack: Any, asked: Any, vectors: Any, codes: Any, allowed: Any, best: Any,
        room: Any,
    ) -> None:  # fmt: skip
        score, filled = best[1], best[2]
        rows, scores, folded, largest = room
        g, k = asked[4][i], score.shape[1]
        ceiling, floor = np.float32(np.inf), np.float32(-np.inf)
        if filled[g] < k:  # the most hopeful first, so that the bar is high when the rest is looked at
            floor = _guess(run_best, k + k // 2, folded, largest)
        while True:
            least, count = max(_bar(score, filled, g, slack), floor), 0
            for run in range(len(run_best)):
                if run_best[run] < least - _SLIP:
                    continue
                count = gather(run, sieve, least, ceiling, allowed, rows, count)
                if count > _LOOK - _MOST:
                    _look(rows[:count], scores, i, slack, asked, vectors, codes, best)
                    least, count = max(_bar(score, filled, g, slack), floor), 0
            _look(rows[:count], scores, i, slack, asked, vectors, codes, best)
            if _bar(score, filled, g, slack) >= floor:
                return
            ceiling, floor = floor, np.float32(-np.inf)

    return offer


_pass_memory, _pass_tiles = _passing(_in_memory), _passing(_in_tiles)


@jitted()
def sweep(
    bounds: Any, query: Any, first: Any, slack: Any, asked: Any, vectors: Any, codes: Any, allowed: Any, best: Any
) -> None:
    """Offer what a block of bounds (B, q) lets hope for: of the rows from `first` and the queries from `query` on.

    slack: what rounding may add to a score.
    asked: weighted queries (Q, D), their parts (Q, E) and (Q, R), lam (G,), group (Q,). allowed (N,); (0,) = all.
    best: top, score, filled, tied, kept between blocks.
    """
    size, queries = bounds.shape
    width = (_ROUND + queries - 1) // queries  # runs that lie between each other
    runs = (size + _RUN * width - 1) // (_RUN * width) * width
    every_best, run_best = np.full(runs * queries, -np.inf, np.float32), np.empty(runs, np.float32)
    _highest(bounds.reshape(-1), width * queries, every_best)
    room = _room(runs)
    for place in range(queries):
        for run in range(runs):
            run_best[run] = every_best[run * queries + place]
        sieve = (bounds[:, place], width, first)
        _pass_memory(run_best, sieve, query + place, slack, asked, vectors, codes, allowed, best, room)


@jitted()
def sweep_tiles(
    kept: Any, run_rows: Any, questions: Any, query: Any, short: Any, span: Any, first: Any, slack: Any, asked: Any,
    vectors: Any, codes: Any, allowed: Any, best: Any,
) -> None:  # fmt: skip
    """As `sweep`, of what tiles.fill kept of short queries (q, K) and of the numbers in `span` of short rows (N, M).

    run_rows: how many rows a run has. (A constant of another file would be kept here when that file changes.)
    """
    lanes, runs, told = kept.shape[3], kept.shape[2], kept.view(np.int32)
    run_best, room = np.empty(runs, np.float32), _room(runs)
    for place in range(len(questions)):
        group, lane = place // lanes, place % lanes
        for run in range(runs):
            run_best[run] = kept[0, group, run, lane]
        sieve = (kept[:, group], told[:, group], lane, first, run_rows, questions[place], short, span)
        _pass_tiles(run_best, sieve, query + place, slack, asked, vectors, codes, allowed, best, room)


@jitted()
def weigh(query: Any, rows: Any, slack: Any, asked: Any, vectors: Any, codes: Any, best: Any) -> None:
    """Offer pairs (P,) of a query segment and a row, the most hopeful first."""
    score = np.empty(1, np.float32)
    for place in range(len(rows)):
        _look(rows[place : place + 1], score, query[place], slack, asked, vectors, codes, best)


@jitted()
def settled(score: Any, filled: Any, tied: Any) -> Any:
    """Mark the questions two of whose best may be equal to nine digits; whether none is marked and all have k items."""
    whole = True
    for g in range(len(filled)):
        for place in range(1, filled[g]):
            if score[g, place - 1, 0] - score[g, place, 0] <= TIE:
                tied[g] = True
        if tied[g] or filled[g] < score.shape[1]:
            whole = False
    return whole
