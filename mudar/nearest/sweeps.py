"""Questions to rows kept whole, through the compiled loops of kernels.py.

Bounds come from one matrix product a block, and all rows are looked at whose bound passes the bar; or, of one
question, the rows that bytes named (sift.py). Questions with equal scores are left to scan.py, which orders them. Knows
the rows and their columns; the lock is its user's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mudar.nearest import sketch
from mudar.nearest.columns import Columns
from mudar.nearest.digits import Allowed
from mudar.nearest.flat import FlatRows
from mudar.nearest.pairs import MARGIN, Ints, Pairs, Questions
from mudar.records import Array

_BLOCK_BOUNDS = 1 << 20  # of one product: what a core has near
_TOGETHER = 128  # query segments; of _EACH or more, twice as many, in twice the room
_EACH = 100  # of so many the bounds of each lie together: dearer to make than for few, cheaper to look through
_TIE = 1.01e-9
_EVERY = np.zeros(0, bool)


class Sweep:
    """The best items so far of some questions."""

    def __init__(self, kernels: Any, rows: FlatRows, columns: Columns, questions: Questions, k: int) -> None:
        self._kernels, self._rows, self._columns, self._questions = kernels, rows, columns, questions
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
        kernels.prepare(parts, self._q, turned, heads, self._short)
        self._turned = turned[0]
        self._asked = (self._q, *parts)
        self._top, self._score = np.zeros((count, k, 3), np.int64), np.zeros((count, k, 3))
        self._filled, self._tied = np.zeros(count, np.int64), np.zeros(count, bool)
        self._best = (self._top, self._score, self._filled, self._tied)

    def all_rows(self, allowed: Allowed) -> None:
        """Every row that is allowed."""
        vectors, codes = self._rows.vectors(), self._columns.codes
        inside, best, asked = _EVERY if allowed is None else allowed, self._best, self._asked
        each = len(self._q) >= _EACH
        scale = 2 if each else 1
        together = -(-len(self._q) // -(-len(self._q) // (scale * _TOGETHER)))
        block = min(scale * _BLOCK_BOUNDS // together, len(vectors))
        room = np.empty(together * block, np.float32)
        sweep = self._kernels.sweep_each if each else self._kernels.sweep
        for first in range(0, len(self._q), together):
            short, q = self._sketches(slice(first, first + together))
            for start in range(0, len(vectors), block):
                part = short[start : start + block]
                left, right = (q, part) if each else (part, q)
                bounds = room[: len(q) * len(part)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=bounds)
                sweep(bounds, first, start, self._slack, asked, vectors, codes, inside, best)

    def _sketches(self, part: slice) -> tuple[Array, Array]:
        """Short forms of all rows and of some query segments; at the ends of λ of the part alone that has weight."""
        sketches = self._rows.sketches
        if sketches is None:
            return self._rows.vectors(), self._q[part]
        lam, held, short = self._questions.lam[self._questions.group[part]], sketches.held.rows(), self._short[part]
        second = sketches.basis.heads[0] + 1
        if not lam.any():
            return held[:, second:], short[:, second:]
        if not (lam == 1.0).all():
            return held, short
        if sketches.wide is None:
            return held[:, :second], short[:, :second]
        return sketches.wide.rows(), sketch.headed(self._turned[part], sketches.basis.wide)

    def pairs_of(self, query: Ints, row: Ints) -> None:
        """Some pairs (P,) of a query segment and a row, the most hopeful first."""
        vectors, codes = self._rows.vectors(), self._columns.codes
        self._kernels.weigh(query, row, 2 * MARGIN, self._asked, vectors, codes, self._best)

    def bar(self) -> float:
        """The k-th score of a single question; minus infinity while there are fewer."""
        return float(self._score[0, -1, 0]) if self._filled[0] == self._score.shape[1] else -np.inf

    def result(self, otherwise: Callable[[Questions], Pairs]) -> Pairs:
        """The pairs, best first; `otherwise` answers a question that has equal scores."""
        steps = self._score[:, :-1, 0] - self._score[:, 1:, 0]
        known = np.arange(steps.shape[1]) + 1 < self._filled[:, None]
        tied = self._tied | ((steps <= _TIE) & known).any(axis=1)
        if self._questions.count == 1:
            return otherwise(self._questions) if tied[0] else self._some(0, int(self._filled[0]))
        if not tied.any():
            full = self._filled == self._score.shape[1]
            if full.all():
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
