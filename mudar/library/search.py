"""A question of similarity, answered as records: the same lines for an item that is stored and for a file that is not.

Knows the index that follows the library, and the rows that give its answers a title; no web, no queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select

from mudar.errors import EmptyLibrary
from mudar.library import items
from mudar.library import tables as t
from mudar.library.db import Database, Session
from mudar.library.follow import IndexFollower
from mudar.records import Kind, Segment
from mudar.retrieve import Match


@dataclass(frozen=True)
class Question:
    """What is searched with (its kind and segments), and how: k items, weight lam, only those with all labels."""

    kind: Kind
    segments: Sequence[Segment]
    k: int
    lam: float
    labels: Sequence[str] = ()


def other_kind(kind: Kind) -> Kind:
    """A dance asks for music, music for dances."""
    return "music" if kind == "dance" else "dance"


def ask(database: Database, follower: IndexFollower, question: Question) -> list[dict[str, Any]]:
    """The k items of the other kind that fit best, with all that was committed before. EmptyLibrary, OutOfRange."""
    wanted = other_kind(question.kind)
    follower.catch_up()
    index = follower.index(wanted)
    if not len(index):
        raise EmptyLibrary(f"There is no {wanted} in the library yet to compare this {question.kind} with.")
    with database.read() as session:
        allow = items.ids_with(session, kind=wanted, labels=question.labels) if question.labels else None
    found = index.search(
        np.stack([segment.embedding for segment in question.segments]),
        np.stack([segment.rhythm for segment in question.segments]),
        question.lam,
        question.k,
        query_start_s=[segment.start_s for segment in question.segments],
        allow=allow,
    )
    with database.read() as session:
        return _records(session, follower.model, found)


def _records(session: Session, model: str, found: list[Match]) -> list[dict[str, Any]]:
    """Matches with title and tempo, in their order; an item that was deleted a moment ago is left out."""
    rows = session.execute(
        select(t.items.c.id, t.items.c.title, t.analyses.c.tempo_bpm)
        .join(t.analyses, t.analyses.c.item_id == t.items.c.id)
        .where(t.items.c.id.in_([match.item_id for match in found]), t.analyses.c.model == model)
    )
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
