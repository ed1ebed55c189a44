"""Questions, the pairs of segments that may answer them, and the order of items that follows from the pairs.

The order is that of the two-matrix computation in float64; scores that agree to TIE_DIGITS digits are equal, and equal
scores are ordered by item id, then by the earlier seconds. Knows numpy only.

Shapes: G questions of Q query segments in all, E embedding, R rhythm vector, D = E + R, N rows, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mudar.records import Array

# float32 sums of products of unit vectors: two scores closer than this are told apart by float64 sums.
MARGIN = 2e-5
TIE_DIGITS = 9  # scores equal to this many digits are equal
_BLOCK_PAIRS = 4096

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Questions:
    """Q query segments of G questions: embeddings (Q, E), rhythms (Q, R), start_s (Q,), group (Q,); lam (G,)."""

    embeddings: Array
    rhythms: Array
    start_s: Array
    group: Ints
    lam: Doubles

    @property
    def count(self) -> int:
        """G."""
        return len(self.lam)

    def rows(self) -> Array:
        """q = [λE ; (1−λ)R], (Q, D) float32."""
        lam = self.lam[self.group, None]
        return np.hstack([lam * self.embeddings, (1 - lam) * self.rhythms]).astype(np.float32)

    def of(self, group: int) -> Questions:
        """One of them."""
        mine = self.group == group
        parts = (self.embeddings[mine], self.rhythms[mine], self.start_s[mine])
        return Questions(*parts, np.zeros(int(mine.sum()), np.int64), self.lam[group : group + 1])


@dataclass(frozen=True)
class Pairs:
    """P pairs of a query segment and a row of item `code`, scored in float64; all fields are (P,)."""

    query: Ints
    row: Ints
    code: Ints
    start_s: Array
    score: Doubles
    embedding: Doubles
    rhythm: Doubles

    def take(self, chosen: Any) -> Pairs:
        """Some of them."""
        return Pairs(*(values[chosen] for values in vars(self).values()))

    @staticmethod
    def join(parts: Sequence[Pairs]) -> Pairs:
        """All of several."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Pairs(*(np.concatenate(column) for column in columns))


def scored(questions: Questions, query: Ints, row: Ints, code: Ints, start_s: Array, vectors: NDArray[Any]) -> Pairs:
    """Pairs with float64 scores; `vectors` (N, D) holds the rows. Each sum depends on nothing but the pair."""
    embedding, rhythm = np.empty(len(row)), np.empty(len(row))
    split = questions.embeddings.shape[1]
    for start in range(0, len(row), _BLOCK_PAIRS):
        part = slice(start, start + _BLOCK_PAIRS)
        x, of = vectors[row[part]].astype(np.float64), query[part]
        embedding[part] = np.einsum("pd,pd->p", questions.embeddings[of].astype(np.float64), x[:, :split])
        rhythm[part] = np.einsum("pd,pd->p", questions.rhythms[of].astype(np.float64), x[:, split:])
    lam = questions.lam[questions.group[query]]
    return Pairs(query, row, code, start_s, lam * embedding + (1 - lam) * rhythm, embedding, rhythm)


def best(questions: Questions, pairs: Pairs, k: int, names: Sequence[str]) -> Pairs:
    """Of each question and item the best pair, of those the k best of each question, questions in their order."""
    codes, place = np.unique(pairs.code, return_inverse=True)
    by_name = np.argsort(np.argsort(np.array([names[code] for code in codes], dtype=object), kind="stable"))
    name_rank, score = by_name[place], -np.round(pairs.score, TIE_DIGITS)
    group = questions.group[pairs.query]
    # The last word is the embedding's: at lambda 0 two windows of one start may differ in nothing else.
    last = -np.round(pairs.embedding, TIE_DIGITS)
    order = np.lexsort((last, pairs.start_s, questions.start_s[pairs.query], name_rank, score, group))
    _, first = np.unique(group[order] * np.int64(len(codes)) + name_rank[order], return_index=True)
    kept = order[np.sort(first)]
    return pairs.take(kept[_place_in_group(group[kept]) < k])


def kth_scores(group: Ints, code: NDArray[Any], score: NDArray[Any], k: int, groups: int) -> Doubles:
    """(G,) score of each question's k-th best item among pairs (P,); minus infinity where there are fewer."""
    key = group * (np.int64(code.max(initial=0)) + 1) + code
    order = np.lexsort((-score, key))
    kept = order[np.flatnonzero(_begins(key[order]))]
    kept = kept[np.lexsort((-score[kept], group[kept]))]
    last = kept[_place_in_group(group[kept]) == k - 1]
    kth = np.full(groups, -np.inf)
    kth[group[last]] = score[last]
    return kth


def near_best(group: Ints, code: NDArray[Any], score: NDArray[Any], margin: float) -> NDArray[np.bool_]:
    """(P,): pairs whose score is the best of their question and item, up to a margin."""
    key = group * (np.int64(code.max(initial=0)) + 1) + code
    _, place = np.unique(key, return_inverse=True)
    best = np.full(int(place.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, place, score)
    return score >= best[place] - margin


def _place_in_group(group: Ints) -> Ints:
    """0, 1, 2, … anew for each group of a sorted (P,)."""
    starts = np.flatnonzero(_begins(group))
    return np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))


def _begins(values: Ints) -> NDArray[np.bool_]:
    """(P,): where a new value begins."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return first
