"""Stores and reads what a model found in an item: rhythm, segments with their vectors. One set for each model.

Knows rows and records; the index that searches them follows the change log (search/index_replica.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import bindparam, delete, func, insert, select

from mudar.errors import ItemDeleted, MudarError, NoIndex, NotReady, UnknownItem, WrongKind
from mudar.library import changes
from mudar.library import tables as t
from mudar.library.annotations import carry_over
from mudar.library.db import Session, clock
from mudar.library.items import get_item, newest_model
from mudar.library.serialization import from_bytes, rhythm_of, rhythm_record, to_bytes
from mudar.records import Analysis, Array, Kind, Rhythm, Segment

_WORKING = ("queued", "running")  # states of an item whose job has not ended


class SegmentBlock(NamedTuple):
    """N segments as an index takes them, in the order of `HybridIndex.add`."""

    segment_ids: np.ndarray[Any, np.dtype[np.int64]]  # (N,)
    item_ids: list[str]  # N
    embeddings: Array  # (N, E)
    rhythms: Array  # (N, R)
    start_s: Array  # (N,)


class EmbeddedItem(NamedTuple):
    """What a search needs of an item."""

    kind: Kind
    tempo_bpm: float
    segments: tuple[Segment, ...]


# Built once: making a statement anew costs SQLAlchemy more than SQLite takes to answer it.
_EMBEDDED_ITEMS = (
    select(
        t.items.c.id, t.items.c.kind, t.analyses.c.tempo_bpm, *t.segments.c["start_s", "end_s", "embedding", "rhythm"]
    )
    .select_from(
        t.items.outerjoin(
            t.analyses, (t.analyses.c.item_id == t.items.c.id) & (t.analyses.c.model == bindparam("model"))
        ).outerjoin(
            t.segments, (t.segments.c.item_id == t.analyses.c.item_id) & (t.segments.c.model == t.analyses.c.model)
        )
    )
    .where(t.items.c.id.in_(bindparam("item_ids", expanding=True)))
    .order_by(t.items.c.id, t.segments.c.number)
)


def embedded_items(
    session: Session, item_ids: Sequence[str], kind: Kind, model: str
) -> list[EmbeddedItem | MudarError]:
    """Reads what is needed to search with some items of a kind, in one statement.

    In the place of an item that cannot be searched with: UnknownItem, WrongKind, NotReady, NoIndex.
    """
    rows: dict[str, list[Any]] = {item_id: [] for item_id in item_ids}
    for row in session.execute(_EMBEDDED_ITEMS, {"item_ids": list(rows), "model": model}):
        rows[row.id].append(row)
    results: list[EmbeddedItem | MudarError] = []
    for item_id in item_ids:
        try:
            results.append(_embedded_item(session, item_id, model, kind, rows[item_id]))
        except MudarError as error:
            results.append(error)
    return results


def _embedded_item(session: Session, item_id: str, model: str, kind: Kind, rows: list[Any]) -> EmbeddedItem:
    if not rows:
        raise UnknownItem(f"there is no item {item_id!r}")
    first = rows[0]
    if first.kind != kind:
        raise WrongKind(f"{item_id} is a {first.kind}, not a {kind}.", hint=f"Ask with {first.kind}_id.")
    if first.embedding is None:
        item = get_item(session, item_id, model)
        if item["state"] not in _WORKING and not any_of(session, model):
            raise NoIndex(f"Nothing in the library has been embedded with {model}.")
        raise _not_ready(item, model)
    segments = (Segment(r.start_s, r.end_s, from_bytes(r.embedding), from_bytes(r.rhythm)) for r in rows)
    return EmbeddedItem(kind, float(first.tempo_bpm), tuple(segments))


def store_analysis(session: Session, item_id: str, model: str, analysis: Analysis) -> dict[str, Any]:
    """Store all that embedding gave, in place of what the same model found before, and log the change.

    Call it in the transaction that finishes the job, before the job's row is touched. Returns what the job's
    result says of the item. ItemDeleted when the item is gone; ValueError when a number is not finite.
    """
    seq = changes.next_seq(session)
    kind = session.execute(select(t.items.c.kind).where(t.items.c.id == item_id).with_for_update()).scalar_one_or_none()
    if kind is None:
        raise ItemDeleted(f"item {item_id} was deleted while its job ran")
    if kind != analysis.kind:
        raise ValueError(f"item {item_id} is a {kind}, its analysis that of a {analysis.kind}")
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    rhythm = carry_over(_previous_rhythm(session, item_id, model), rhythm_record(analysis.rhythm))
    session.execute(delete(t.analyses).where(where))
    summary = {
        "duration_s": float(analysis.duration_s),
        "tempo_bpm": float(rhythm["tempo_bpm"]),
        "strokes": len(rhythm["times_s"]),
        "segments": len(analysis.segments),
        "model": model,
    }
    stage_s = {name: float(s) for name, s in analysis.stage_s.items()}
    row = {"item_id": item_id, "rhythm": rhythm, "stage_s": stage_s, "created_at": clock()}
    session.execute(insert(t.analyses).values(**summary, **row))
    if analysis.segments:
        session.execute(insert(t.segments), _segment_rows(item_id, model, analysis.segments))
    changes.record(session, seq, "stored", item_id, kind, model)
    return {"id": item_id, "kind": kind, **summary}


def _previous_rhythm(session: Session, item_id: str, model: str) -> dict[str, Any]:
    """The rhythm's record that this model's replaces: its own, or else that of the newest analysis; {} for none."""
    c = t.analyses.c
    newest = select(c.rhythm).where(c.item_id == item_id).order_by(c.model != model, c.created_at.desc()).limit(1)
    return session.execute(newest).scalar_one_or_none() or {}


def _segment_rows(item_id: str, model: str, segments: tuple[Segment, ...]) -> list[dict[str, Any]]:
    return [
        {
            "item_id": item_id,
            "model": model,
            "number": number,
            "start_s": float(segment.start_s),
            "end_s": float(segment.end_s),
            "embedding": to_bytes(segment.embedding),
            "rhythm": to_bytes(segment.rhythm),
        }
        for number, segment in enumerate(segments)
    ]


def summary(session: Session, item_id: str, model: str) -> dict[str, Any] | None:
    """What the job's result says of the item, or None when this model has not embedded it."""
    columns = t.analyses.c["duration_s", "tempo_bpm", "strokes", "segments", "model"]
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    row = (
        session.execute(
            select(t.items.c.id, t.items.c.kind, *columns)
            .join(t.items, t.items.c.id == t.analyses.c.item_id)
            .where(where)
        )
        .mappings()
        .one_or_none()
    )
    return dict(row) if row else None


def any_of(session: Session, model: str) -> bool:
    """Whether this model has embedded anything."""
    return session.execute(select(t.analyses.c.item_id).where(t.analyses.c.model == model).limit(1)).first() is not None


def rhythm(session: Session, item_id: str, model: str | None = None) -> Rhythm:
    """The rhythm that `model` (default: the newest analysis) found. UnknownItem, NotReady."""
    return rhythm_of(stored_rhythm(session, item_id, model))


def stored_rhythm(session: Session, item_id: str, model: str | None = None) -> dict[str, Any]:
    """The same as it is stored, with what annotations.py stores beside it."""
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == (model or newest_model(session, item_id)))
    record = session.execute(select(t.analyses.c.rhythm).where(where)).scalar_one_or_none()
    if record is None:
        raise _not_ready(get_item(session, item_id, model), model)
    return dict(record)


def segments(session: Session, item_id: str, model: str | None = None) -> tuple[Segment, ...]:
    """The segments that `model` (default: the newest analysis) made, in order. UnknownItem, NotReady."""
    model = model or newest_model(session, item_id)
    if summary(session, item_id, model) is None:
        raise _not_ready(get_item(session, item_id, model), model)
    rows = session.execute(
        select(t.segments)
        .where(t.segments.c.item_id == item_id, t.segments.c.model == model)
        .order_by(t.segments.c.number)
    )
    return tuple(Segment(r.start_s, r.end_s, from_bytes(r.embedding), from_bytes(r.rhythm)) for r in rows)


def _not_ready(item: dict[str, Any], model: str | None) -> NotReady:
    return NotReady(f"item {item['id']} has not been embedded with {model}; its job is {item['state']}")


def segment_blocks(
    session: Session, model: str, kind: Kind, dims: tuple[int, int], item_ids: Sequence[str] | None = None
) -> Iterator[SegmentBlock]:
    """All segments of a model and a kind (or those of some items) in blocks, for an index of vectors of (E, R).

    Vectors of other sizes, from a model that took another's name, are left out: an index cannot hold them.
    """
    vectors = (t.segments.c.embedding, t.segments.c.rhythm)
    query = (
        select(t.segments.c.id, t.segments.c.item_id, t.segments.c.start_s, *vectors)
        .join(t.items, t.items.c.id == t.segments.c.item_id)
        .where(t.segments.c.model == model, t.items.c.kind == kind)
        .where(*(func.length(vector) == 4 * dim for vector, dim in zip(vectors, dims, strict=True)))
        .order_by(t.segments.c.id)
    )
    if item_ids is not None:
        query = query.where(t.segments.c.item_id.in_(item_ids))
    for rows in session.execute(query.execution_options(yield_per=4096)).partitions():
        ids, names, start_s, embeddings, rhythms = zip(*rows, strict=True)
        seconds = np.array(start_s, np.float32)
        yield SegmentBlock(np.array(ids, np.int64), list(names), _matrix(embeddings), _matrix(rhythms), seconds)


def segments_of(
    session: Session, model: str, kind: Kind, dims: tuple[int, int], item_ids: Sequence[str]
) -> SegmentBlock:
    """The same for some items, in one block that may be empty."""
    empty = (np.zeros(0, np.int64), *(np.zeros((0, dim), np.float32) for dim in dims), np.zeros(0, np.float32))
    blocks = list(segment_blocks(session, model, kind, dims, item_ids))
    ids, embeddings, rhythms, start_s = (
        np.concatenate([none, *(block[column] for block in blocks)])
        for none, column in zip(empty, (0, 2, 3, 4), strict=True)
    )
    return SegmentBlock(ids, [name for block in blocks for name in block.item_ids], embeddings, rhythms, start_s)


def _matrix(vectors: Sequence[bytes]) -> Array:
    """N vectors as (N, D)."""
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1).astype(np.float32)


def count_segments(session: Session) -> dict[str, int]:
    """How many segments each model has."""
    rows = session.execute(select(t.segments.c.model, func.count()).group_by(t.segments.c.model))
    return {str(row[0]): int(row[1]) for row in rows}
