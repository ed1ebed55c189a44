"""A rhythm as a person corrected it: strokes, beats and downbeats in place of what a model found, vectors untouched.

An edit counts up the rhythm's `edition`, so that work which stands for the old one is not taken for the new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select, update

from mudar.errors import NotReady, OutOfRange
from mudar.library import tables as t
from mudar.library.analyses import newest_model
from mudar.library.codec import numbers
from mudar.library.db import Session

EDITABLE = ("times_s", "strengths", "beats_s", "downbeats_s")


def edit_rhythm(
    session: Session, item_id: str, changes: Mapping[str, Sequence[float]], model: str | None = None
) -> dict[str, Any]:
    """Put `changes` in place of the rhythm's own points; returns the whole record. UnknownItem, NotReady, OutOfRange.

    Strokes without strengths are all strong; new strokes are moved by nothing that was seen.
    """
    model = model or newest_model(session, item_id)
    where = (t.analyses.c.item_id == item_id) & (t.analyses.c.model == model)
    row = session.execute(select(t.analyses.c.rhythm, t.analyses.c.duration_s).where(where).with_for_update()).first()
    if row is None:
        raise NotReady(f"item {item_id} has not been embedded with {model}")
    record = dict(row.rhythm)
    given: dict[str, Any] = {name: _checked(name, values, float(row.duration_s)) for name, values in changes.items()}
    if "times_s" in given:
        record["impacts_s"] = record["peaks_s"] = record["peak_strengths"] = []
        given.setdefault("strengths", [1.0] * len(given["times_s"]))
    new = record | given
    if len(new["strengths"]) != len(new["times_s"]):
        raise OutOfRange("There must be as many strengths as strokes (times_s).")
    new["edition"] = edition_of(record) + 1
    session.execute(update(t.analyses).where(where).values(rhythm=new, strokes=len(new["times_s"])))
    return new


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
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise OutOfRange(f"{name} must be a list of finite numbers.")
    if name == "strengths":
        if ((array < 0) | (array > 1)).any():
            raise OutOfRange("strengths lie in 0..1.")
    elif (np.diff(array) <= 0).any() or (len(array) and (array[0] < 0 or array[-1] > duration_s + 1e-3)):
        raise OutOfRange(f"{name} must ascend, in seconds from 0 to {duration_s:g}.")
    return numbers(array.astype(np.float32))
