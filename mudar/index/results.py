"""Defines what a search returns: the items of one request, best first."""

from __future__ import annotations

from typing import NamedTuple


class SearchHit(NamedTuple):
    """An item, its score, the two parts of it, and the seconds of the two segments that match best."""

    item_id: str
    score: float
    embedding_score: float
    rhythm_score: float
    start_s: float
    query_start_s: float


class SearchResults(list[SearchHit]):
    """The items of one request, best first."""

    @property
    def item_ids(self) -> list[str]:
        """The ids alone."""
        return [result.item_id for result in self]
