"""The k best items of each of many questions at once, exactly: one pass over the rows, most of which are skipped.

Scores of a block of rows (upper bounds, where there are sketches) come from one matrix product; a row is looked at
only when it can still beat the k-th best item that its question has so far. A first look at every 8th row sets that
bar, so that it is high before the pass begins. The few pairs that are left at last are scored in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mudar.index import ranking as p
from mudar.index.exact import FlatRows
from mudar.index.ranking import MARGIN, Ints, Pairs, Questions
from mudar.records import Array

_STRIDE = 8
_RUN = 32
_SEEDS = 2
_BLOCK_SCORES = 1 << 20  # scores of one product: what stays in a core's cache
_GATHER = 8192
_POOL = 20_000

Bools = NDArray[np.bool_]


class Scan:
    """One pass. `codes` (N,) and `start_s` (N,) say whose row it is and when; `allowed` (N,) which rows count."""

    def __init__(
        self,
        rows: FlatRows,
        codes: NDArray[np.int32],
        start_s: Array,
        names: Sequence[str],
        questions: Questions,
        k: int,
        allowed: Bools | None,
    ) -> None:
        self._vectors, self._codes, self._start_s, self._names = rows.vectors(), codes, start_s, names
        self._questions, self._k, self._allowed = questions, k, allowed
        self._q, self._slack = questions.rows(), 2 * MARGIN
        if rows.sketches is not None:
            self._short, self._short_q = rows.sketches.held.rows(), rows.sketches.short(self._q)
            self._slack += rows.sketches.stray
        else:
            self._short, self._short_q = self._vectors, self._q
        block = min(max(512, min(65_536, _BLOCK_SCORES // len(self._q))), -(-len(codes) // _RUN) * _RUN)
        self._scores = np.empty((len(self._q), block // _RUN * _RUN), np.float32)
        self._bar = np.full(questions.count, -np.inf)
        self._pool: list[tuple[Ints, Ints, Array]] = []  # query, row, float32 score
        self._pooled = self._settled = 0

    def run(self) -> Pairs:
        """The pairs of the k best items of each question, best first."""
        self._seed()
        block = self._scores.shape[1]
        for start in range(0, len(self._vectors), block):
            self._look(start, min(start + block, len(self._vectors)))
        query, row, _ = self._condensed()
        return self._best(query, row)

    def _seed(self) -> None:
        """Set the bar by the best of every 8th row; their pairs are met again in the pass."""
        rows = np.arange(0, len(self._vectors), _STRIDE)
        if self._allowed is not None:
            rows = rows[self._allowed[rows]]
        rows = rows[: len(rows) // _RUN * _RUN]
        depth = min(_SEEDS * self._k, len(rows) // _RUN)
        if not depth:
            return
        step = max(_RUN, _BLOCK_SCORES // len(self._q) // _RUN * _RUN)
        runs = [self._best_of_runs(rows[at : at + step]) for at in range(0, len(rows), step)]
        scores, places = (np.concatenate(part, axis=1) for part in zip(*runs, strict=True))  # (Q, rows / RUN)
        best = np.argpartition(scores, scores.shape[1] - depth, axis=1)[:, scores.shape[1] - depth :]
        query, row = np.repeat(np.arange(len(self._q)), depth), np.take_along_axis(places, best, axis=1).ravel()
        self._bar = p.kth_scores(
            self._questions.group[query], self._codes[row], self._true(query, row), self._k, self._questions.count
        )

    def _best_of_runs(self, rows: Ints) -> tuple[Array, Ints]:
        """The best of every few rows for each query: scores and rows, (Q, rows / RUN)."""
        scores = (self._short_q @ self._short[rows].T).reshape(len(self._q), _RUN, -1)
        best = scores.max(axis=1)
        place = (scores == best[:, None]).argmax(axis=1)
        return best, rows.reshape(_RUN, -1)[place, np.arange(place.shape[1])]

    def _look(self, start: int, stop: int) -> None:
        """Score a block of rows, and look closer where the best of every `width`-th row passes the bar."""
        scores = self._scores
        np.matmul(self._short_q, self._short[start:stop].T, out=scores[:, : stop - start])
        scores[:, stop - start :] = -np.inf
        width = scores.shape[1] // _RUN
        runs = scores.reshape(len(self._q), _RUN, width)
        bar = self._bar_of_queries().astype(np.float32)
        query, column = np.nonzero(runs.max(axis=1) >= bar[:, None])
        if not len(query):
            return
        found = runs[query, :, column]  # (runs, RUN)
        which, place = np.nonzero((found >= bar[query, None]) & (found > -np.inf))
        query, row, score = query[which], start + place * width + column[which], found[which, place]
        if self._allowed is not None:
            inside = self._allowed[row]
            query, row, score = query[inside], row[inside], score[inside]
        self._keep(query, row, score)

    def _bar_of_queries(self) -> NDArray[np.float64]:
        """(Q,): below this a float32 score cannot belong to one of the k best items."""
        return self._bar[self._questions.group] - self._slack

    def _true(self, query: Ints, row: Ints) -> Array:
        """(P,) float32 scores of pairs."""
        scores = np.empty(len(row), np.float32)
        for start in range(0, len(row), _GATHER):
            part = slice(start, start + _GATHER)
            scores[part] = np.einsum("pd,pd->p", self._q[query[part]], self._vectors[row[part]])
        return scores

    def _keep(self, query: Ints, row: Ints, score: Array) -> None:
        """Into the pool, some at a time, best first, so that the bar rises before the rest is looked at."""
        step = max(_GATHER, 4 * self._k * self._questions.count)
        if len(row) > step:
            order = np.argsort(-score, kind="stable")
            query, row, score = query[order], row[order], score[order]
        for start in range(0, len(row), step):
            part = slice(start, start + step)
            hopeful = score[part] >= self._bar_of_queries()[query[part]]
            q, r, s = query[part][hopeful], row[part][hopeful], score[part][hopeful]
            if self._short is not self._vectors:
                s = self._true(q, r)
            self._pool.append((q, r, s))
            self._pooled += len(q)
            if self._pooled > 2 * self._settled + 4 * self._k * self._questions.count:
                self._pool = [self._condensed()]
                self._pooled = self._settled = len(self._pool[0][0])

    def _condensed(self) -> tuple[Ints, Ints, Array]:
        """Raise the bar; of the pool, the pairs that may be the best one of one of the k best items."""
        none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        query, row, score = (np.concatenate(column) for column in zip(none, *self._pool, strict=True))
        group, code = self._questions.group[query], self._codes[row]
        if len(row):
            reached = p.kth_scores(group, code, score, self._k, self._questions.count)
            self._bar = np.maximum(self._bar, reached)
            kept = p.near_best(group, code, score, MARGIN) & (score >= self._bar_of_queries()[query])
            query, row, score = query[kept], row[kept], score[kept]
        if len(row) > max(_POOL, 8 * self._k * self._questions.count):  # nearly all scores are equal
            best = self._best(query, row)
            query, row, score = best.query, best.row, best.score.astype(np.float32)
        return query, row, score

    def _best(self, query: Ints, row: Ints) -> Pairs:
        code, start_s = self._codes[row].astype(np.int64), self._start_s[row]
        pairs = p.scored(self._questions, query, row, code, start_s, self._vectors)
        return p.best(self._questions, pairs, self._k, self._names)
