"""Reads, lists, corrects and deletes items of the library. Knows no HTTP."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mudar.errors import BadRequest, UnreadableItem
from mudar.library import analyses, items
from mudar.library.annotations import edit_rhythm as edit_record
from mudar.library.annotations import restore_rhythm as restore_record
from mudar.library.annotations import rhythm_payload
from mudar.library.serialization import rhythm_of, rhythm_record, segment_record
from service.container import Container
from service.embed.ingest import media_type
from service.errors import problem
from service.items.schemas import Item, ItemError, Items, Rhythm, RhythmEdit, Segment

log = logging.getLogger(__name__)

INCLUDABLE = {"embedding", "rhythm"}


class MediaFile(NamedTuple):
    """A stored file and its content type."""

    path: Path
    media_type: str


def list_items(container: Container, query: items.ItemQuery) -> Items:
    """One page of items, the newest first. UnknownModel, BadRequest."""
    if query.model:
        query = replace(query, model=container.catalog.resolve(query.model).id)
    with container.database.read() as session:
        page = items.list_items(session, query)
    shown, errors = list[Item](), list[ItemError]()
    for record in page.items:
        try:
            shown.append(_item(record))
        except UnreadableItem as error:  # one bad row must not hide the others
            errors.append(ItemError(id=record["id"], error=problem(error)))
    return Items(items=shown, next_cursor=page.next_cursor, **({"errors": errors} if errors else {}))


def get_item(container: Container, item_id: str, include: Collection[str], model: str | None) -> Item:
    """One item; `include` adds its segments or its rhythm. UnknownItem, NotReady, BadRequest."""
    if not INCLUDABLE.issuperset(include):
        raise BadRequest(f"include={','.join(sorted(include))}: use embedding, rhythm or both.")
    model = container.catalog.resolve(model).id if model else None
    with container.database.read() as session:
        item = _item(items.get_item(session, item_id, model))
        if "rhythm" in include:
            stored = analyses.stored_rhythm(session, item_id, model)
            item.rhythm = Rhythm.model_validate(rhythm_payload(_completed(stored)))
        if "embedding" in include:
            segments = analyses.segments(session, item_id, model)
            item.embedding = [Segment.model_validate(segment_record(segment)) for segment in segments]
    return item


def get_media(container: Container, item_id: str) -> MediaFile:
    """The item's file. UnknownItem, ItemDeleted."""
    with container.database.read() as session:
        item = items.get_item(session, item_id)
    kind = media_type(item["info"]["container"], item["info"]["video"] is not None)
    return MediaFile(container.blobs.path(item["sha256"]), kind)


def delete_item(container: Container, item_id: str) -> None:
    """Deletes an item; jobs that work on it stop. UnknownItem."""
    with container.database.begin() as session:
        items.delete_item(session, item_id)


def edit_rhythm(container: Container, item_id: str, edit: RhythmEdit, model: str | None) -> Rhythm:
    """Corrects strokes, beats or downbeats. UnknownItem, NotReady, OutOfRange."""
    chosen = container.catalog.resolve(model).id
    changes = edit.model_dump(exclude={"even", "rhythm_from"}, exclude_none=True)
    with container.database.begin() as session:
        record = edit_record(session, item_id, changes, chosen, edit.even, edit.rhythm_from)
    return Rhythm.model_validate(rhythm_payload(record))


def restore_rhythm(container: Container, item_id: str, model: str | None) -> Rhythm:
    """Undoes all corrections. UnknownItem, NotReady."""
    chosen = container.catalog.resolve(model).id
    with container.database.begin() as session:
        record = restore_record(session, item_id, chosen)
    return Rhythm.model_validate(rhythm_payload(record))


def _completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The record with all fields that a rhythm has, and whether a person edited it."""
    edits = {"found": stored["found"]} if "found" in stored else {}
    return rhythm_record(rhythm_of(dict(stored))) | edits


def _item(record: Mapping[str, Any]) -> Item:
    """The item as the API shows it. UnreadableItem where its row cannot be sent as JSON."""
    try:
        item = Item.model_validate({**record, "media_url": f"/items/{record['id']}/media"})
        item.model_dump_json()
    except (ValueError, RecursionError) as error:
        log.error("item %s cannot be shown: %.500s", record["id"], error)
        raise UnreadableItem(f"What is stored of item {record['id']} cannot be read.") from error
    return item
