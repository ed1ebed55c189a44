"""A rhythm as a person corrected it: strokes, beats and downbeats in place of what a model found, vectors untouched.

An edit counts up the rhythm's `edition`, so that work which stands for the old one is not taken for the new. What the
model found stays beside it, as `found`, until somebody wants it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, select, update

from mudar.by_hand import MOVED_BY, checked_s, tempo_of
from mudar.errors import NotReady, OutOfRange
from mudar.library import tables as t
from mudar.library.analyses import newest_model
from mudar.library.codec import numbers, rhythm_of
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.steady import evened, steadied

EDITABLE = ("times_s", "strengths", "beats_s", "downbeats_s")


def edit_rhythm(
    session: Session, item_id: str, changes: Mapping[str, Sequence[float]], model: str | None = None, even: bool = False
) -> dict[str, Any]:
    """Put `changes` in place of the rhythm's own points; returns the whole record. UnknownItem, NotReady, OutOfRange.

    Strokes without strengths are all strong; new strokes are not moved again when they are retargeted; new beats give
    the tempo. even: what a hand tapped is steadied, and strokes go to what the body does (mudar/steady.py).
    """
    where, record, duration_s = _opened(session, item_id, model)
    given: dict[str, Any] = {name: _checked(name, values, duration_s) for name, values in changes.items()}
    for name in {"times_s", "beats_s"} & given.keys() if even else ():
        tapped = np.asarray(given[name], np.float32)
        moved = evened(tapped, rhythm_of(record)) if name == "times_s" else steadied(tapped)
        given[name] = numbers(np.clip(moved, 0.0, duration_s))
    new = record | given
    new["found"] = record.get("found") or {name: record.get(name, []) for name in (*EDITABLE, *MOVED_BY, "tempo_bpm")}
    if "times_s" in given:
        new |= {name: [] for name in MOVED_BY}
        new["strengths"] = given.get("strengths", [1.0] * len(given["times_s"]))
    new["tempo_bpm"] = tempo_of(given.get("beats_s", ())) or new["tempo_bpm"]
    if len(new["strengths"]) != len(new["times_s"]):
        raise OutOfRange("There must be as many strengths as strokes (times_s).")
    return _stored(session, where, new)


def restore_rhythm(session: Session, item_id: str, model: str | None = None) -> dict[str, Any]:
    """The rhythm as the model found it, whatever was edited; returns the whole record. UnknownItem, NotReady."""
    where, record, _ = _opened(session, item_id, model)
    found = record.pop("found", None)
    return _stored(session, where, record | found) if found else record


def is_edited(session: Session, item_id: str, model: str | None = None) -> bool:
    """Whether the rhythm is a person's. UnknownItem, NotReady."""
    model = model or newest_model(session, item_id)
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    return "found" in (session.execute(select(t.analyses.c.rhythm).where(where)).scalar_one_or_none() or {})


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is told: whether it was edited, and not what it was before."""
    return {name: value for name, value in record.items() if name != "found"} | {"edited": "found" in record}


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
    session.execute(update(t.analyses).where(where).values(rhythm=record, strokes=len(record["times_s"])))
    return record


def edition(session: Session, item_id: str, model: str) -> int:
    """How often the rhythm was edited; 0 also when there is none."""
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    return edition_of(session.execute(select(t.analyses.c.rhythm).where(where)).scalar_one_or_none() or {})


def edition_of(record: Mapping[str, Any]) -> int:
    """The same of a record."""
    return int(record.get("edition", 0))


def _checked(name: str, values: Sequence[float], duration_s: float) -> list[float]:
    if name not in EDITABLE:
        raise OutOfRange(f"{name} cannot be edited: use {', '.join(EDITABLE)}.")
    if name != "strengths":
        return numbers(checked_s(name, values, duration_s))
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not ((array >= 0) & (array <= 1)).all():
        raise OutOfRange("strengths is a list of numbers in 0..1.")
    return numbers(array.astype(np.float32))
