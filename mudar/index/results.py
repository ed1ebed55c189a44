"""What a search gives: the items of one question, best first.

A batch of questions finds thousands of them, and to make an object of each takes a fifth of the time in a small
library; so they lie in columns until they are read. Knows numpy only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from numpy.typing import NDArray


class Match(NamedTuple):
    """An item, its score, the two parts of it, and the seconds of the two segments that match best."""

    item_id: str
    score: float
    embedding_score: float
    rhythm_score: float
    start_s: float
    query_start_s: float


class Found:
    """The matches of all questions of a batch, one question after the other: item ids (P,), the rest of Match (P,)."""

    __slots__ = ("_made", "_numbers", "item_ids")

    def __init__(self, item_ids: list[str], numbers: tuple[NDArray[Any], ...]) -> None:
        self.item_ids, self._numbers = item_ids, numbers
        self._made: list[Match] | None = None

    def matches(self) -> list[Match]:
        """All of them, made when they are first asked for: at once takes less than question by question."""
        if self._made is None:
            columns = zip(self.item_ids, *(column.tolist() for column in self._numbers), strict=True)
            self._made = list(map(tuple.__new__, itertools.repeat(Match), columns))  # half of the time of Match(...)
        return self._made


class Matches(Sequence[Match]):
    """The items of one question, best first: some rows of `found`. Equal to any sequence of the same matches."""

    __slots__ = ("_found", "_part")

    def __init__(self, found: Found, start: int, stop: int) -> None:
        self._found, self._part = found, slice(start, stop)

    @property
    def item_ids(self) -> list[str]:
        """The ids alone, for which nothing is made."""
        return self._found.item_ids[self._part]

    def __len__(self) -> int:
        return int(self._part.stop - self._part.start)

    @overload
    def __getitem__(self, place: int) -> Match: ...
    @overload
    def __getitem__(self, place: slice) -> list[Match]: ...
    def __getitem__(self, place: int | slice) -> Match | list[Match]:
        return self._all()[place]

    def __iter__(self) -> Iterator[Match]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> list[Match]:
        return self._found.matches()[self._part]


NONE = Matches(Found([], ()), 0, 0)
