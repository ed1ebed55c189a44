"""A question of similarity, answered as records: the same lines for an item that is stored and for a file that is not.

Knows the index that follows the library, and the rows that give its answers a title; no web, no queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import bindparam, select

from mudar.errors import EmptyLibrary, MudarError, OutOfRange
from mudar.index.results import Match
from mudar.index.types import SearchRequest
from mudar.library import items
from mudar.library import tables as t
from mudar.library.db import Database, Session
from mudar.library.search.ports import SearchBackend
from mudar.records import Kind, Segment

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

    @property
    def all_pass(self) -> bool:
        """Whether every item may be found."""
        return not self.narrow and not self.exclude

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
    filters: Filters = ANY
    offset: int = 0

    @property
    def depth(self) -> int:
        """How many items must be found."""
        return self.offset + self.k


def other_kind(kind: Kind) -> Kind:
    """A dance asks for music, music for dances."""
    return "music" if kind == "dance" else "dance"


def search(database: Database, follower: SearchBackend, question: Question) -> list[dict[str, Any]]:
    """The k items of the other kind that fit best, with all that was committed before. EmptyLibrary, OutOfRange."""
    (answer,) = search_many(database, follower, [question])
    if isinstance(answer, MudarError):
        raise answer
    return answer


def search_many(
    database: Database, follower: SearchBackend, questions: Sequence[Question]
) -> list[list[dict[str, Any]] | MudarError]:
    """`search` for each, with one look at the log and one at the titles; an error in the place of an answer."""
    follower.catch_up()
    answers: list[Sequence[Match] | MudarError | None] = [_refused(follower, question) for question in questions]
    alike: dict[tuple[Kind, int], list[int]] = {}
    for place, question in enumerate(questions):
        if answers[place] is None and question.filters.all_pass:
            alike.setdefault((other_kind(question.kind), question.depth), []).append(place)
        elif answers[place] is None:
            (answers[place],) = _found(database, follower, [question])
    for places in alike.values():
        found = _found(database, follower, [questions[place] for place in places])
        for place, matches in zip(places, found, strict=True):
            answers[place] = matches
    pages = [
        answer if isinstance(answer, MudarError) else (answer or [])[question.offset :]
        for question, answer in zip(questions, answers, strict=True)
    ]
    with database.read() as session:
        known = _known(session, follower.model, [page for page in pages if not isinstance(page, MudarError)])
    return [page if isinstance(page, MudarError) else _records(page, known) for page in pages]


def _refused(follower: SearchBackend, question: Question) -> MudarError | None:
    wanted = other_kind(question.kind)
    if not len(follower.index(wanted)):
        return EmptyLibrary(f"There is no {wanted} in the library yet to compare this {question.kind} with.")
    if question.offset < 0 or question.depth > MAX_DEPTH:
        return OutOfRange(f"offset {question.offset} and k {question.k} must lie within the first {MAX_DEPTH} items.")
    return None


def _found(database: Database, follower: SearchBackend, alike: Sequence[Question]) -> Sequence[Sequence[Match]]:
    """The best items for questions of one kind, depth and filters."""
    wanted, filters, allow = other_kind(alike[0].kind), alike[0].filters, None
    if filters.narrow:
        with database.read() as session:
            allow = filters.passing(session, wanted, follower.model)
    return follower.index(wanted).search_many([_request(question, allow) for question in alike])


def _request(question: Question, allow: set[str] | None) -> SearchRequest:
    segments = question.segments
    return SearchRequest(
        np.stack([segment.embedding for segment in segments]),
        np.stack([segment.rhythm for segment in segments]),
        [segment.start_s for segment in segments],
        question.lam,
        question.depth,
        question.filters.exclude,
        allow,
    )


_FOUND = (
    select(t.items.c.id, t.items.c.title, t.analyses.c.tempo_bpm)
    .join(t.analyses, t.analyses.c.item_id == t.items.c.id)
    .where(t.items.c.id.in_(bindparam("ids", expanding=True)), t.analyses.c.model == bindparam("model"))
)


def _known(session: Session, model: str, pages: Sequence[Sequence[Match]]) -> dict[str, tuple[str, float]]:
    """Title and tempo by item id, of those that are still there."""
    ids = {match.item_id for page in pages for match in page}
    rows = session.execute(_FOUND, {"ids": sorted(ids), "model": model})
    return {row.id: (row.title, row.tempo_bpm) for row in rows}


def _records(found: Sequence[Match], known: dict[str, tuple[str, float]]) -> list[dict[str, Any]]:
    """Matches with title and tempo, in their order; an item that was deleted a moment ago is left out."""
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
