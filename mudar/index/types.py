"""Defines what every index is asked and how requests are batched.

Knows numpy only. Shapes: S query segments, E embedding, R rhythm vector.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from mudar.errors import OutOfRange
from mudar.records import Array


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """Asks for the k best items for S segments: embeddings (S, E), rhythms (S, R), start_s (S,) seconds.

    lam weighs embeddings against rhythm vectors, 0..1; `exclude` and `allow` are item ids (allow None = all).
    """

    embeddings: Array
    rhythms: Array
    start_s: Sequence[float] | Array
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


def batches(requests: Sequence[SearchRequest]) -> Iterator[list[int]]:
    """Yields the places of requests that share k and filters, so that one pass over the rows answers them."""
    alike: dict[tuple[int, frozenset[str], int], list[int]] = {}
    for place, request in enumerate(requests):
        request.check()
        allow = -1 if request.allow is None else id(request.allow)
        alike.setdefault((request.k, frozenset(request.exclude), allow), []).append(place)
    yield from alike.values()
