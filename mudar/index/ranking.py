"""Ranks items by their best pair of segments, from candidate rows with float32 scores.

The order is that of the two-matrix computation in float64; scores that agree to TIE_DIGITS digits are equal, and equal
scores are ordered by item id, then by the earlier seconds. Knows numpy only.

Shapes: S query segments, P pairs of a query segment and a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mudar.index.results import SearchHit, SearchResults
from mudar.index.types import Doubles, Ints, SearchRequest
from mudar.records import Array

# float32 sums of products of unit vectors: two scores closer than this are told apart by float64 sums.
MARGIN = 2e-5
TIE_DIGITS = 9  # scores equal to this many digits are equal
_BLOCK_PAIRS = 4096


@dataclass(frozen=True)
class Hits:
    """P candidate pairs: query segment, row and float32 score, each (P,).

    floor (S,): no row that is missing here scores more with this query segment; minus infinity when none is missing.
    """

    query: Ints
    row: Ints
    score: Array
    floor: Array

    @staticmethod
    def join(parts: Sequence[Hits]) -> Hits:
        """Joins what was found of the same query segments among several rows."""
        if len(parts) == 1:
            return parts[0]
        query, row = (np.concatenate([getattr(part, name) for part in parts]) for name in ("query", "row"))
        score: Array = np.concatenate([part.score for part in parts])
        return Hits(query, row, score, np.max([part.floor for part in parts], axis=0))

    def split(self, counts: Sequence[int]) -> list[Hits]:
        """Parts the pairs by runs of so many query segments, each numbered from 0."""
        if len(counts) == 1:
            return [self]
        parts, start = [], 0
        for count in counts:
            own = (self.query >= start) & (self.query < start + count)
            floor = self.floor[start : start + count]
            parts.append(Hits(self.query[own] - start, self.row[own], self.score[own], floor))
            start += count
        return parts


def kth_item_score(codes: NDArray[Any], scores: NDArray[Any], k: int) -> float:
    """Finds the score of the k-th best item among pairs of item `codes` (P,); minus infinity if there are fewer."""
    order = np.argsort(-scores, kind="stable")
    items = set()
    for position, code in enumerate(codes[order].tolist()):
        items.add(code)
        if len(items) == k:
            return float(scores[order[position]])
    return -np.inf


@dataclass(frozen=True)
class Candidates:
    """P pairs to be ranked: query segment, row number, item code and seconds of the row, each (P,); names by code."""

    query: Ints
    row: Ints
    code: NDArray[Any]
    start_s: Array
    names: Sequence[str]


def rank(request: SearchRequest, pairs: Candidates, vectors: Callable[[Ints], Array]) -> SearchResults:
    """Scores the pairs in float64 and returns the best pair of each of the k best items.

    vectors: gives the rows (n, D) of n row numbers.
    """
    if not len(pairs.row):
        return SearchResults()
    embedding, rhythm = _scores(request, pairs, vectors)
    score = request.lam * embedding + (1 - request.lam) * rhythm
    query_start_s = np.asarray(request.start_s, np.float32)[pairs.query]
    rounded = score.round(TIE_DIGITS)
    # The last word is the embedding's: at lambda 0 two windows of one start may differ in nothing else.
    order = np.lexsort((-embedding.round(TIE_DIGITS), pairs.start_s, query_start_s, -rounded, pairs.code))
    code, first = pairs.code[order], np.ones(len(order), bool)
    np.not_equal(code[1:], code[:-1], out=first[1:])
    best = order[first]  # the best pair of each item
    ids, scores = [pairs.names[code] for code in pairs.code[best].tolist()], rounded[best].tolist()
    ranked = sorted(range(len(best)), key=lambda position: (-scores[position], ids[position]))[: request.k]
    best = best[ranked]
    columns = (column[best].tolist() for column in (score, embedding, rhythm, pairs.start_s, query_start_s))
    return SearchResults(map(SearchHit, [ids[position] for position in ranked], *columns))


def _scores(request: SearchRequest, pairs: Candidates, vectors: Callable[[Ints], Array]) -> tuple[Doubles, Doubles]:
    """Computes ⟨E_q, E_x⟩ and ⟨R_q, R_x⟩, (P,) each, in float64; each sum depends on nothing but the pair."""
    embedding, rhythm = np.empty(len(pairs.row)), np.empty(len(pairs.row))
    queries64 = request.embeddings.astype(np.float64), request.rhythms.astype(np.float64)
    split = queries64[0].shape[1]
    for start in range(0, len(pairs.row), _BLOCK_PAIRS):
        part = slice(start, start + _BLOCK_PAIRS)
        rows, query = vectors(pairs.row[part]).astype(np.float64), pairs.query[part]
        embedding[part] = np.einsum("pd,pd->p", queries64[0][query], rows[:, :split])
        rhythm[part] = np.einsum("pd,pd->p", queries64[1][query], rows[:, split:])
    return embedding, rhythm
