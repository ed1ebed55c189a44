"""One question to rows kept whole: a sieve names those that may answer, and is asked for more until they surely do.

Knows the rows and their columns; the lock is its user's business.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from mudar.index.digits import Allowed, Digits
from mudar.index.exact import FlatRows
from mudar.index.leaders import best_found
from mudar.index.ranking import MARGIN, Ints, Pairs, Questions
from mudar.index.rows import Columns
from mudar.records import Array

Weigh = Callable[[Ints, Ints], Pairs]

SIFT_FROM_ROWS = 40_000  # of fewer, scoring all is as fast
FEW = 4  # query segments that are sifted one by one; more share one scan
_LEAST_DEPTH = 64
_DEEPEST = 4096  # deeper lists cost more than asking for all above a bar
_MOST_SHARE = 0.2  # of the rows above the bar: a scan is faster


class Sifter:
    """Remembers for each λ, to a tenth, how many rows had to be named."""

    def __init__(self) -> None:
        self._depths: dict[float, int] = {}

    def search(
        self, rows: FlatRows, sieve: Digits, question: Questions, k: int, allowed: Allowed, weigh: Weigh
    ) -> Pairs | None:
        """The k best items of one question; None when a scan of all rows is the better way."""
        q, bucket = question.rows(), round(float(question.lam[0]), 1)
        count = len(rows) if allowed is None else int(allowed.sum())
        depth = min(max(self._depths.get(bucket, _LEAST_DEPTH), 6 * k), count)
        bounds, found = sieve.search(q, depth, allowed)
        best = weigh(np.repeat(np.arange(len(q)), depth), found.ravel())
        if depth == count:
            return best
        if len(best.row) < k:
            self._depths[bucket] = min(4 * depth, _DEEPEST)
            return None
        bar = float(best.score[-1])
        if float(bounds.min(axis=1).max()) < bar:
            needed = int((bounds >= bar).sum(axis=1).max())
            self._depths[bucket] = min(max(_LEAST_DEPTH, 2 * needed, depth // 2 + needed), _DEEPEST)
            return best
        query, row = sieve.above(q, bar - 2 * MARGIN, allowed)
        self._depths[bucket] = min(int(1.5 * len(row) / len(q)) + 1, _DEEPEST)  # the next of this kind begins there
        return None if len(row) > _MOST_SHARE * len(rows) else weigh(query, row)


def weighed(rows: FlatRows, columns: Columns, question: Questions, k: int) -> Weigh:
    """The k best items among pairs of a query segment and a row, without compiled loops."""

    def weigh(query: Ints, row: Ints) -> Pairs:
        q, score = question.rows(), np.empty(len(row), np.float32)
        for place in range(len(q)):
            mine = query == place
            score[mine] = true_scores(q[place : place + 1], row[mine], rows.vectors())
        return best_found(question, query, row, score, columns, rows.vectors(), k)

    return weigh


def true_scores(queries: Array, rows: Ints, vectors: Array) -> Array:
    """float32 scores of some rows for each query: (Q, n) of (Q, D) and (Q, n); (n,) rows count for a single query."""
    rows = np.ascontiguousarray(rows, np.int64)
    count = rows.size // len(queries)
    scores = np.empty(rows.shape, np.float32)
    if count:
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
            *(faiss.swig_ptr(part) for part in (scores, queries, vectors, rows)), queries.shape[1], len(queries), count
        )
    return scores
