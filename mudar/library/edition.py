"""What the record of an edited rhythm holds beside the rhythm: what the model found, and how often it was edited.

Knows records as `codec.rhythm_record` makes them, no SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mudar.records import BEAT_FIELDS, STROKE_FIELDS


def is_edited(record: Mapping[str, Any]) -> bool:
    """Whether the rhythm is a person's."""
    return "found" in record


def edition_of(record: Mapping[str, Any]) -> int:
    """How often the rhythm was edited or restored."""
    return int(record.get("edition", 0))


def found_in(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a record, edited or not, what an edit may change, as the model found it."""
    return dict(record.get("found") or {name: record.get(name, []) for name in (*STROKE_FIELDS, *BEAT_FIELDS)})


def carried(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a new analysis of the item of `old`: what a person changed outlives it, and so does the count, or
    work on an earlier edit would be taken for work on the next."""
    kept, found = dict(new), found_in(old)
    for together in (STROKE_FIELDS, BEAT_FIELDS):
        if any(old.get(name, []) != found.get(name, []) for name in together):
            kept |= {name: old[name] for name in together} | {"found": found_in(new)}
    return kept | ({"edition": edition_of(old)} if edition_of(old) else {})
