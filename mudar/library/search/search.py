"""Answers searches from the library: the same lines for an item that is stored and for a file that is not.

Knows the index that follows the library, and the rows that give its hits a title; no web, no queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import bindparam, select

from mudar.errors import EmptyLibrary, MudarError, OutOfRange
from mudar.index.results import SearchHit
from mudar.index.types import SearchRequest
from mudar.library import items
from mudar.library import tables as t
from mudar.library.db import Database, Session
from mudar.library.search.ports import SearchBackend
from mudar.records import Kind, Segment

MAX_DEPTH = 1000  # items that one request may ask for, those that a page leaves out included
Range = tuple[float | None, float | None]  # from, to; None = open


@dataclass(frozen=True)
class SearchResult:
    """A ranked item: score = lambda * embedding_score + (1 - lambda) * rhythm_score, of the best pair of segments.

    That pair begins at `start_s` of this item and at `query_start_s` of what was searched with.
    """

    id: str
    score: float
    embedding_score: float
    rhythm_score: float
    tempo_bpm: float | None
    start_s: float
    query_start_s: float
    title: str


@dataclass(frozen=True)
class Filters:
    """Selects items by the catalogue: with all these labels, in these ranges."""

    labels: Sequence[str] = ()
    tempo_bpm: Range = (None, None)
    duration_s: Range = (None, None)

    def allowed(self, session: Session, kind: Kind, model: str) -> set[str] | None:
        """The ids of the items of a kind that pass; None when all do."""
        if not self.labels and (*self.tempo_bpm, *self.duration_s) == (None,) * 4:
            return None
        query = select(t.analyses.c.item_id).where(t.analyses.c.model == model)
        for name, (low, high) in (("tempo_bpm", self.tempo_bpm), ("duration_s", self.duration_s)):
            column = t.analyses.c[name]
            query = query.where(
                *([column >= low] if low is not None else []), *([column <= high] if high is not None else [])
            )
        return items.ids_with(session, kind=kind, labels=self.labels) & set(session.execute(query).scalars())


def other_kind(kind: Kind) -> Kind:
    """Music for a dance, dances for music."""
    return "music" if kind == "dance" else "dance"


def stack_segments(segments: Sequence[Segment]) -> dict[str, np.ndarray]:
    """The fields of a SearchRequest that say what is searched with."""
    return {
        "embeddings": np.stack([segment.embedding for segment in segments]),
        "rhythms": np.stack([segment.rhythm for segment in segments]),
        "start_s": np.array([segment.start_s for segment in segments], np.float32),
    }


def search(database: Database, backend: SearchBackend, kind: Kind, request: SearchRequest) -> list[SearchResult]:
    """The k items of `kind` that fit best, with all that was committed before. EmptyLibrary, OutOfRange."""
    (results,) = search_many(database, backend, kind, [request])
    if isinstance(results, MudarError):
        raise results
    return results


def search_many(
    database: Database, backend: SearchBackend, kind: Kind, requests: Sequence[SearchRequest]
) -> list[list[SearchResult] | MudarError]:
    """Answers each request as `search` does, reading the log and the titles once; an error in the place of results."""
    backend.catch_up()
    index = backend.index(kind)
    if not len(index):
        text = f"There is no {kind} in the library yet to compare this {other_kind(kind)} with."
        return [EmptyLibrary(text) for _ in requests]
    within = [request for request in requests if request.k <= MAX_DEPTH]
    hits = iter(index.search_many(within))
    pages = [next(hits) if request.k <= MAX_DEPTH else None for request in requests]
    with database.read() as session:
        rows = _catalogue_rows(session, backend.model, {hit.item_id for page in pages if page for hit in page})
    too_deep = OutOfRange(f"offset and k must lie within the first {MAX_DEPTH} items.")
    return [too_deep if page is None else _results(page, rows) for page in pages]


_ROWS = (  # built once: making a statement anew costs more than answering it
    select(t.items.c.id, t.items.c.title, t.analyses.c.tempo_bpm)
    .join(t.analyses, t.analyses.c.item_id == t.items.c.id)
    .where(t.items.c.id.in_(bindparam("ids", expanding=True)), t.analyses.c.model == bindparam("model"))
)


def _catalogue_rows(session: Session, model: str, ids: Iterable[str]) -> dict[str, tuple[str, float]]:
    """Title and tempo by item id, of those that are still there."""
    rows = session.execute(_ROWS, {"ids": sorted(ids), "model": model})
    return {row.id: (row.title, row.tempo_bpm) for row in rows}


def _results(hits: Sequence[SearchHit], rows: Mapping[str, tuple[str, float]]) -> list[SearchResult]:
    """Hits with title and tempo, in their order; an item that was deleted a moment ago is left out."""
    return [
        SearchResult(
            id=hit.item_id,
            score=hit.score,
            embedding_score=hit.embedding_score,
            rhythm_score=hit.rhythm_score,
            tempo_bpm=rows[hit.item_id][1],
            start_s=hit.start_s,
            query_start_s=hit.query_start_s,
            title=rows[hit.item_id][0],
        )
        for hit in hits
        if hit.item_id in rows
    ]
