"""A question of similarity, answered as records: the same lines for an item that is stored and for a file that is not.

Knows the index that follows the library, and the rows that give its answers a title; no web, no queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import bindparam, select

from mudar.errors import EmptyLibrary, OutOfRange
from mudar.library import items
from mudar.library import tables as t
from mudar.library.answers import Follower
from mudar.library.db import Database, Session
from mudar.records import Kind, Segment
from mudar.retrieve import Match

MAX_DEPTH = 1000  # offset + k
Range = tuple[float | None, float | None]  # from, to; None = open


@dataclass(frozen=True)
class Filters:
    """Which items may be found: with all these labels, in these ranges, and none of `exclude` (item ids)."""

    labels: Sequence[str] = ()
    tempo_bpm: Range = (None, None)
    duration_s: Range = (None, None)
    exclude: Sequence[str] = ()

    @property
    def narrow(self) -> bool:
        """Whether the catalogue must be asked which items pass."""
        return bool(self.labels) or (*self.tempo_bpm, *self.duration_s) != (None,) * 4

    def passing(self, session: Session, kind: Kind, model: str) -> set[str]:
        """The items of a kind that pass, `exclude` aside."""
        ids = items.ids_with(session, kind=kind, labels=self.labels)
        query = select(t.analyses.c.item_id).where(t.analyses.c.model == model)
        for column, (low, high) in (
            (t.analyses.c.tempo_bpm, self.tempo_bpm),
            (t.analyses.c.duration_s, self.duration_s),
        ):
            query = query.where(
                *([column >= low] if low is not None else []), *([column <= high] if high is not None else [])
            )
        return ids & set(session.execute(query).scalars())


ANY = Filters()


@dataclass(frozen=True)
class Question:
    """What is searched with (its kind and segments), and how: k items after `offset` better ones, weight lam."""

    kind: Kind
    segments: Sequence[Segment]
    k: int
    lam: float
    labels: Sequence[str] = ()
    filters: Filters = ANY
    offset: int = 0


def other_kind(kind: Kind) -> Kind:
    """A dance asks for music, music for dances."""
    return "music" if kind == "dance" else "dance"


def ask(database: Database, follower: Follower, question: Question) -> list[dict[str, Any]]:
    """The k items of the other kind that fit best, with all that was committed before. EmptyLibrary, OutOfRange."""
    wanted = other_kind(question.kind)
    follower.catch_up()
    index = follower.index(wanted)
    if not len(index):
        raise EmptyLibrary(f"There is no {wanted} in the library yet to compare this {question.kind} with.")
    if question.offset < 0 or question.offset + question.k > MAX_DEPTH:
        raise OutOfRange(f"offset {question.offset} and k {question.k} must lie within the first {MAX_DEPTH} items.")
    filters = replace(question.filters, labels=[*question.filters.labels, *question.labels])
    allow = None
    if filters.narrow:
        with database.read() as session:
            allow = filters.passing(session, wanted, follower.model)
    found = index.search(
        np.stack([segment.embedding for segment in question.segments]),
        np.stack([segment.rhythm for segment in question.segments]),
        question.lam,
        question.offset + question.k,
        query_start_s=[segment.start_s for segment in question.segments],
        exclude=filters.exclude,
        allow=allow,
    )
    with database.read() as session:
        return _records(session, follower.model, found[question.offset :])


_FOUND = (
    select(t.items.c.id, t.items.c.title, t.analyses.c.tempo_bpm)
    .join(t.analyses, t.analyses.c.item_id == t.items.c.id)
    .where(t.items.c.id.in_(bindparam("ids", expanding=True)), t.analyses.c.model == bindparam("model"))
)


def _records(session: Session, model: str, found: list[Match]) -> list[dict[str, Any]]:
    """Matches with title and tempo, in their order; an item that was deleted a moment ago is left out."""
    rows = session.execute(_FOUND, {"ids": [match.item_id for match in found], "model": model})
    known = {row.id: (row.title, row.tempo_bpm) for row in rows}
    return [
        {
            "id": match.item_id,
            "score": match.score,
            "embedding_score": match.embedding_score,
            "rhythm_score": match.rhythm_score,
            "tempo_bpm": known[match.item_id][1],
            "start_s": match.start_s,
            "query_start_s": match.query_start_s,
            "title": known[match.item_id][0],
        }
        for match in found
        if match.item_id in known
    ]
