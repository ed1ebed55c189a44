"""Corrects rhythms by hand: strokes, beats and downbeats in place of what a model found, vectors untouched.

An edit counts up the rhythm's `edition`, so that work which stands for the old one is not taken for the new. What the
model found stays beside it, as `found`, until somebody wants it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, update

from mudar.errors import NotReady
from mudar.library import tables as t
from mudar.library.db import Session
from mudar.library.items import get_item, newest_model
from mudar.library.serialization import rhythm_of, rhythm_record
from mudar.records import BEAT_FIELDS, STROKE_FIELDS, RhythmFrom
from mudar.rhythm.annotation import apply_annotation, resolve


def edit_rhythm(
    session: Session,
    item_id: str,
    changes: Mapping[str, Sequence[float]],
    model: str | None = None,
    even: bool = False,
    rhythm_from: RhythmFrom = "auto",
) -> dict[str, Any]:
    """Puts `changes` in place of the rhythm's own points; returns the complete record.

    rhythm_from: first takes the points from a dance's `sound` or `picture`. UnknownItem, NotReady, OutOfRange.
    """
    where, record, duration_s = _opened(session, item_id, model)
    rhythm = resolve(rhythm_of(record), rhythm_from)
    new = rhythm_record(apply_annotation(rhythm, changes, duration_s, even=even))
    by_model = {"found": model_points(record)} if changes or is_edited(record) else {}  # another source is no edit
    return _stored(session, where, new | by_model | {"edition": edition_of(record)})


def restore_rhythm(session: Session, item_id: str, model: str | None = None) -> dict[str, Any]:
    """Undoes all corrections; returns the complete record. UnknownItem, NotReady."""
    where, record, _ = _opened(session, item_id, model)
    by_model = record.pop("found", None)
    return _stored(session, where, record | by_model) if by_model else record


def rhythm_payload(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as the API shows it: whether it was edited, without the model's own points."""
    shown = {name: value for name, value in record.items() if name not in ("found", "picture")}
    return shown | {"edited": is_edited(record), "source": "hand" if is_edited(record) else record["source"]}


def _opened(session: Session, item_id: str, model: str | None) -> tuple[ColumnElement[bool], dict[str, Any], float]:
    """The row, its record and the item's seconds."""
    model = model or newest_model(session, item_id)
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    row = session.execute(select(t.analyses.c.rhythm, t.analyses.c.duration_s).where(where).with_for_update()).first()
    if row is None:
        get_item(session, item_id)  # UnknownItem
        raise NotReady(f"item {item_id} has not been embedded with {model}")
    return where, dict(row.rhythm), float(row.duration_s)


def _stored(session: Session, where: ColumnElement[bool], record: dict[str, Any]) -> dict[str, Any]:
    record["edition"] = edition_of(record) + 1
    columns = {"strokes": len(record["times_s"]), "tempo_bpm": float(record["tempo_bpm"])}
    session.execute(update(t.analyses).where(where).values(rhythm=record, **columns))
    return record


def edition(session: Session, item_id: str, model: str) -> int:
    """How often the rhythm was edited; 0 also when there is none."""
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    return edition_of(session.execute(select(t.analyses.c.rhythm).where(where)).scalar_one_or_none() or {})


def is_edited(record: Mapping[str, Any]) -> bool:
    """Whether the rhythm is a person's."""
    return "found" in record


def edition_of(record: Mapping[str, Any]) -> int:
    """How often the rhythm was edited or restored."""
    return int(record.get("edition", 0))


def model_points(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record, edited or not, what an edit may change, as the model found it."""
    return dict(record.get("found") or {name: record.get(name) for name in (*STROKE_FIELDS, *BEAT_FIELDS)})


def carry_over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the record of a new analysis the corrections and the count of `old`, the record that it replaces.

    The count outlives an analysis too, or work on an earlier edit would be taken for work on the next.
    """
    if not old:
        return dict(new)
    merged, by_model = dict(new), model_points(old)
    for fields in (STROKE_FIELDS, BEAT_FIELDS):
        if any(old.get(name) != by_model[name] for name in fields):
            merged |= {name: old.get(name) for name in fields} | {"found": model_points(new)}
    return merged | ({"edition": edition_of(old)} if edition_of(old) else {})
