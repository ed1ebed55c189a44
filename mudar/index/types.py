"""Defines what every index is asked, and the array types that its modules share.

Knows numpy only. Shapes: S query segments, E embedding, R rhythm vector, D = E + R.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from mudar.errors import OutOfRange
from mudar.index.results import SearchResults
from mudar.records import Array

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
SegmentIds = Sequence[int] | Ints
Seconds = Sequence[float] | Array


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """Asks for the k best items for S segments: embeddings (S, E), rhythms (S, R), start_s (S,) seconds.

    lam weighs embeddings against rhythm vectors, 0..1; `exclude` and `allow` are item ids (allow None = all).
    """

    embeddings: Array
    rhythms: Array
    start_s: Seconds
    lam: float = 0.5
    k: int = 10
    exclude: Collection[str] = ()
    allow: Collection[str] | None = None

    def check(self) -> None:
        """Raises OutOfRange for a λ outside 0..1 (or not a number) and for k < 1."""
        if not 0.0 <= self.lam <= 1.0:
            raise OutOfRange(f"lambda is {self.lam}; it must lie in 0..1")
        if self.k < 1:
            raise OutOfRange(f"k is {self.k}; it must be at least 1")

    def vectors(self) -> Array:
        """Computes q = [λE ; (1−λ)R], (S, D) float32: its inner product with a row [E ; R] is the hybrid score."""
        parts = self.lam * self.embeddings, (1 - self.lam) * self.rhythms
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


class Narrow(TypedDict, total=False):
    """Which items may be found: none of `exclude`, and only those of `allow` (None = all)."""

    exclude: Collection[str]
    allow: Collection[str] | None


class Searchable(ABC):
    """Answers requests, those that share k and filters in one pass."""

    def search(
        self, embeddings: Array, rhythms: Array, lam: float, k: int, *, query_start_s: Seconds | None = None,
        **narrow: Unpack[Narrow],
    ) -> SearchResults:  # fmt: skip
        """Finds the k best items for S query segments, embeddings (S, E) and rhythms (S, R), by their best pair.

        Equal scores are ordered by item id; nothing is lost to `exclude` and `allow` (item ids).
        Fewer than k only when there are no more items. OutOfRange for λ outside 0..1 or k < 1.
        """
        start_s = np.zeros(len(embeddings), np.float32) if query_start_s is None else query_start_s
        return self.search_many([SearchRequest(embeddings, rhythms, start_s, lam, k, **narrow)])[0]

    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchResults]:
        """Answers many requests, in their order."""
        alike: dict[tuple[int, frozenset[str], int], list[int]] = {}
        for position, request in enumerate(requests):
            request.check()
            allow = -1 if request.allow is None else id(request.allow)
            alike.setdefault((request.k, frozenset(request.exclude), allow), []).append(position)
        answers = [SearchResults()] * len(requests)
        for places in alike.values():
            for position, results in zip(
                places, self.search_alike([requests[position] for position in places]), strict=True
            ):
                answers[position] = results
        return answers

    @abstractmethod
    def search_alike(self, requests: Sequence[SearchRequest]) -> Sequence[SearchResults]:
        """Answers requests that share k and filters."""
