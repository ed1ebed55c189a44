"""Questions to rows kept whole, through the compiled loops of kernels.py.

Bounds come from one matrix product a block, and all rows are looked at whose bound passes the bar; or, of one
question, the rows that bytes named (sift.py). Questions with equal scores are left to scan.py, which orders them. Knows
the rows and their columns; the lock is its user's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mudar.index import sketch
from mudar.index.compiled import Loops
from mudar.index.digits import Allowed
from mudar.index.exact import FlatRows
from mudar.index.ranking import MARGIN, Ints, Pairs, Questions
from mudar.index.rows import Columns
from mudar.records import Array

_TOGETHER = 256  # query segments
_MANY = 8  # of so many the product is not written down (tiles.py)
_BLOCK_BOUNDS = 1 << 20  # of one product: what a core has near
_KEPT = 1 << 19  # numbers that tiles leave at once: the same
_EVERY = np.zeros(0, bool)

Span = tuple[int, int]  # from and to which of a row's numbers


class Sweep:
    """The best items so far of some questions."""

    def __init__(self, loops: Loops, rows: FlatRows, columns: Columns, questions: Questions, k: int) -> None:
        self._kernels, self._tiles = loops
        self._rows, self._columns, self._questions = rows, columns, questions
        count, k, size = questions.count, min(k, len(columns.names)), len(questions.group)
        sketches = rows.sketches
        self._q = np.empty((size, rows.dim), np.float32)
        parts = (questions.embeddings, questions.rhythms, questions.lam, questions.group)
        if sketches is None:
            turned, heads, self._short, self._slack = parts[:2], (0, 0), np.empty((size, 0), np.float32), 2 * MARGIN
        else:
            basis = sketches.basis
            turned, heads = (parts[0] @ basis.embedding, parts[1] @ basis.rhythm), basis.heads
            self._short, self._slack = np.empty((size, basis.size), np.float32), 2 * MARGIN + sketches.stray
        self._kernels.prepare(parts, self._q, turned, heads, self._short)
        self._turned = turned[0]
        self._asked = (self._q, *parts)
        self._top, self._score = np.zeros((count, k, 3), np.int64), np.zeros((count, k, 3))
        self._filled, self._tied = np.zeros(count, np.int64), np.zeros(count, bool)
        self._best = (self._top, self._score, self._filled, self._tied)

    def all_rows(self, allowed: Allowed) -> None:
        """Every row that is allowed."""
        inside = _EVERY if allowed is None else allowed
        together = -(-len(self._q) // -(-len(self._q) // _TOGETHER))
        for query in range(0, len(self._q), together):
            short, span, questions = self._sketches(slice(query, query + together))
            many = len(questions) >= _MANY and len(short) >= self._tiles.RUN
            look = self._through_tiles if many else self._through_bounds
            look(query, questions, short, span, inside)

    def _through_tiles(self, query: int, questions: Array, short: Array, span: Span, inside: Any) -> None:
        tiles, lanes = self._tiles, self._tiles.LANES
        vectors, codes = self._rows.vectors(), self._columns.codes
        queries, all_runs = tiles.packed(questions), -(-len(vectors) // tiles.RUN)
        runs = min(_KEPT // (tiles.KEPT * len(queries) * lanes), all_runs)
        room = np.empty(tiles.KEPT * len(queries) * runs * lanes, np.float32)
        for start in range(0, all_runs, runs):
            shape, first = (tiles.KEPT, len(queries), min(runs, all_runs - start), lanes), start * tiles.RUN
            kept = room[: math.prod(shape)].reshape(shape)
            tiles.fill(short, span[0], first, queries, kept)
            self._kernels.sweep_tiles(kept, tiles.RUN, questions, query, short, span, first, self._slack, self._asked,
                                      vectors, codes, inside, self._best)  # fmt: skip

    def _through_bounds(self, query: int, questions: Array, short: Array, span: Span, inside: Any) -> None:
        vectors, codes = self._rows.vectors(), self._columns.codes
        block = min(_BLOCK_BOUNDS // len(questions), len(vectors))
        room = np.empty(len(questions) * block, np.float32)
        for first in range(0, len(vectors), block):
            part = short[first : first + block, slice(*span)]
            bounds = room[: len(questions) * len(part)].reshape(len(part), len(questions))
            np.matmul(part, questions.T, out=bounds)
            self._kernels.sweep(bounds, query, first, self._slack, self._asked, vectors, codes, inside, self._best)

    def _sketches(self, part: slice) -> tuple[Array, Span, Array]:
        """Short forms of all rows, from and to which column they count, and those of some query segments.

        At the ends of λ it is the part alone that has weight.
        """
        sketches = self._rows.sketches
        if sketches is None:
            return self._rows.vectors(), (0, self._rows.dim), self._q[part]
        lam, held, short = self._questions.lam[self._questions.group[part]], sketches.held.rows(), self._short[part]
        span, second = (0, sketches.basis.size), sketches.basis.heads[0] + 1
        if not lam.any():
            span = (second, sketches.basis.size)
        elif (lam == 1.0).all():
            if sketches.wide is not None:
                wide = sketches.wide.rows()
                return wide, (0, wide.shape[1]), sketch.headed(self._turned[part], sketches.basis.wide)
            span = (0, second)
        return held, span, np.ascontiguousarray(short[:, slice(*span)])

    def pairs_of(self, query: Ints, row: Ints) -> None:
        """Some pairs (P,) of a query segment and a row, the most hopeful first."""
        vectors, codes = self._rows.vectors(), self._columns.codes
        self._kernels.weigh(query, row, 2 * MARGIN, self._asked, vectors, codes, self._best)

    def bar(self) -> float:
        """The k-th score of a single question; minus infinity while there are fewer."""
        return float(self._score[0, -1, 0]) if self._filled[0] == self._score.shape[1] else -np.inf

    def result(self, otherwise: Callable[[Questions], Pairs]) -> Pairs:
        """The pairs, best first; `otherwise` answers a question that has equal scores."""
        whole, tied = self._kernels.settled(self._score, self._filled, self._tied), self._tied
        if self._questions.count == 1:
            return otherwise(self._questions) if tied[0] else self._some(0, int(self._filled[0]))
        if whole:
            return self._pairs(self._top.reshape(-1, 3), self._score.reshape(-1, 3))
        first = np.searchsorted(self._questions.group, np.arange(self._questions.count))
        answers = []
        for g, count in enumerate(self._filled.tolist()):
            answer = otherwise(self._questions.of(g)) if tied[g] else self._some(g, count)
            moved = answer.query + first[g] if tied[g] else answer.query
            answers.append(Pairs(moved, *(v for name, v in vars(answer).items() if name != "query")))
        return Pairs.join(answers)

    def _some(self, g: int, count: int) -> Pairs:
        return self._pairs(self._top[g, :count], self._score[g, :count])

    def _pairs(self, top: Any, score: Any) -> Pairs:
        code, row, query = top.T
        return Pairs(query, row, code, self._columns.start_s[row], *score.T)
