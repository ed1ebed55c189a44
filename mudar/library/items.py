"""Stores the catalogue: dances and pieces of music, with titles, labels and what probing their files found.

Knows rows; what a model found in an item stands in analyses.py, the file itself in blobs.py.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from mudar.errors import BadRequest, ItemDeleted, NotReady, UnknownItem
from mudar.library import changes
from mudar.library import tables as t
from mudar.library.db import Session, clock
from mudar.library.serialization import check_json, clean_text, cursor_of, iso_time, parse_cursor
from mudar.records import Kind

MAX_LABELS = 32


@dataclass(frozen=True)
class Page:
    """Holds some items, and the cursor of the next ones (None at the end)."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def insert_new(session: Session, table: Any, values: Any, **kw: Any) -> Any:
    """INSERT ... ON CONFLICT for either database, to be finished with on_conflict_do_*."""
    dialect: Any = postgresql if session.dialect.name == "postgresql" else sqlite
    return dialect.insert(table, **kw).values(values)


def hold_blob(session: Session, sha256: str, size_bytes: int = 0, media_type: str = "") -> None:
    """Notes that this file is needed, so that the next collection of garbage leaves it (see blob_gc.py)."""
    row = {"sha256": sha256, "size_bytes": size_bytes, "media_type": media_type, "held_at": clock()}
    session.execute(
        insert_new(session, t.blobs, row).on_conflict_do_update(index_elements=["sha256"], set_={"held_at": clock()})
    )


@dataclass(frozen=True)
class NewItem:
    """Describes an item to create; `info` is what probing its file found, `linked_to` another item of the same file."""

    sha256: str
    kind: Kind
    title: str = ""
    labels: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    linked_to: str | None = None
    size_bytes: int = 0
    media_type: str = ""


def create_item(session: Session, new: NewItem) -> dict[str, Any]:
    """The item of these bytes and kind, made if it is not there yet; labels are added to those it has.

    Locks the item until the transaction ends, so that nobody deletes it before its job is written.
    Returns the item's dict with one more key, `created`. BadRequest for text that cannot be stored.
    """
    names = clean_labels(new.labels)
    hold_blob(session, new.sha256, new.size_bytes, new.media_type)
    row = {
        "id": f"{new.kind}-{secrets.token_hex(8)}",
        "sha256": new.sha256,
        "kind": new.kind,
        "title": clean_text(new.title, "title"),
        "metadata": check_json(new.metadata, "metadata"),
        "info": dict(new.info),
        "linked_to": new.linked_to,
        "created_at": clock(),
    }
    item_id, added = _insert_or_hold(session, row)
    if names:
        rows = [{"item_id": item_id, "label": name} for name in names]
        session.execute(insert_new(session, t.labels, rows).on_conflict_do_nothing())
    if not added and new.linked_to is not None:
        unlinked = (t.items.c.id == item_id) & t.items.c.linked_to.is_(None)
        session.execute(update(t.items).where(unlinked).values(linked_to=new.linked_to))
    return {**get_item(session, item_id), "created": added}


def _insert_or_hold(session: Session, row: dict[str, Any]) -> tuple[str, bool]:
    """The id of the item of these bytes and kind, locked, and whether it is new."""
    same = (t.items.c.sha256 == row["sha256"]) & (t.items.c.kind == row["kind"])
    while True:
        query = insert_new(session, t.items, row).on_conflict_do_nothing().returning(t.items.c.id)
        added = session.execute(query).first() is not None
        item_id = session.execute(select(t.items.c.id).where(same).with_for_update()).scalar_one_or_none()
        if item_id is not None:  # else it was there, and somebody deleted it while we waited for its lock
            return str(item_id), added


def clean_labels(labels: Iterable[str]) -> list[str]:
    """The labels in order, each once and without outer blanks. BadRequest: too many, too long, no text."""
    names = sorted({clean_text(label, "label", longest=200) for label in labels} - {""})
    if len(names) > MAX_LABELS:
        raise BadRequest(f"more than {MAX_LABELS} labels")
    return names


def get_item(session: Session, item_id: str, model: str | None = None) -> dict[str, Any]:
    """One item as JSON (keys: see `describe`). UnknownItem if there is none."""
    row = session.execute(select(t.items).where(t.items.c.id == item_id)).mappings().one_or_none()
    if row is None:
        raise UnknownItem(f"there is no item {item_id!r}")
    return describe(session, [row], model)[0]


def newest_model(session: Session, item_id: str) -> str:
    """The model of the item's newest analysis. UnknownItem; NotReady, with the state of its job, if there is none."""
    item = get_item(session, item_id)
    if not item["models"]:
        raise NotReady(f"item {item_id} has not been embedded; its job is {item['state']}")
    return str(item["models"][-1])


@dataclass(frozen=True)
class ItemQuery:
    """Which items are listed: of a kind, with all these labels, of these files; and which page of them.

    model: `state` is `ready` for what this one embedded; None = any.
    """

    kind: Kind | None = None
    labels: Sequence[str] = ()
    sha256: Sequence[str] = ()
    model: str | None = None
    cursor: str | None = None
    limit: int = 50


def list_items(session: Session, filters: ItemQuery) -> Page:
    """Lists items, the newest first, one page at a time. BadRequest: bad cursor."""
    query = select(t.items).order_by(t.items.c.created_at.desc(), t.items.c.id.desc()).limit(filters.limit + 1)
    query = _narrow(query, filters.kind, filters.labels)
    if filters.sha256:
        query = query.where(t.items.c.sha256.in_(filters.sha256))
    if filters.cursor is not None:
        query = query.where(tuple_(t.items.c.created_at, t.items.c.id) < tuple_(*parse_cursor(filters.cursor)))
    rows = session.execute(query).mappings().all()
    more, rows = len(rows) > filters.limit, rows[: filters.limit]
    cursor = cursor_of(rows[-1]["created_at"], rows[-1]["id"]) if more else None
    return Page(describe(session, rows, filters.model), cursor)


def ids_with(session: Session, *, kind: Kind | None = None, labels: Sequence[str] = ()) -> set[str]:
    """The ids of all items of a kind that carry all the labels."""
    return set(session.execute(_narrow(select(t.items.c.id), kind, labels)).scalars())


def _narrow(query: Select[Any], kind: Kind | None, labels: Sequence[str]) -> Select[Any]:
    if kind is not None:
        query = query.where(t.items.c.kind == kind)
    for label in labels:
        query = query.where(t.items.c.id.in_(select(t.labels.c.item_id).where(t.labels.c.label == label.strip())))
    return query


def describe(session: Session, rows: Sequence[Any], model: str | None = None) -> list[dict[str, Any]]:
    """Items as JSON, with what `model` (default: the newest analysis) found in them.

    Keys: id, kind, title, labels, metadata, info, sha256, linked_to, created_at, state (`ready`, or the state of
    its latest job, or `new`), job_id, models, and of the analysis duration_s, tempo_bpm, strokes, segments, model.
    """
    ids = [row["id"] for row in rows]
    names: dict[str, list[str]] = defaultdict(list)
    for item_id, label in session.execute(
        select(t.labels).where(t.labels.c.item_id.in_(ids)).order_by(t.labels.c.label)
    ):
        names[item_id].append(label)
    analyses: dict[str, list[Any]] = defaultdict(list)
    columns = t.analyses.c["item_id", "model", "duration_s", "tempo_bpm", "strokes", "segments"]
    for analysis in session.execute(
        select(*columns).where(t.analyses.c.item_id.in_(ids)).order_by(t.analyses.c.created_at)
    ).mappings():
        analyses[analysis["item_id"]].append(analysis)
    latest = _latest_jobs(session, ids)
    return [_item_dict(row, names[row["id"]], analyses[row["id"]], latest.get(row["id"]), model) for row in rows]


def _latest_jobs(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(job id, state) of the newest embed job of each item."""
    rows = session.execute(
        select(t.job_items.c.item_id, t.jobs.c.id, t.jobs.c.state)
        .join(t.jobs, t.jobs.c.id == t.job_items.c.job_id)
        .where(t.job_items.c.item_id.in_(ids), t.jobs.c.kind == "embed")
        .order_by(t.jobs.c.created_at)
    )
    return {item_id: (job_id, state) for item_id, job_id, state in rows}


def _item_dict(
    row: Any, names: list[str], analyses: list[Any], job: tuple[str, str] | None, model: str | None
) -> dict[str, Any]:
    chosen = next((a for a in reversed(analyses) if model is None or a["model"] == model), None)
    analysis = {key: chosen and chosen[key] for key in ("tempo_bpm", "strokes", "segments", "model")}
    return {
        "id": row["id"],
        "kind": row["kind"],
        "title": row["title"],
        "labels": names,
        "metadata": row["metadata"],
        "info": row["info"],
        "sha256": row["sha256"],
        "linked_to": row["linked_to"],
        "created_at": iso_time(row["created_at"]),
        "state": "ready" if chosen else (job[1] if job else "new"),
        "job_id": job[0] if job else None,
        "models": [a["model"] for a in analyses],
        "duration_s": chosen["duration_s"] if chosen else (row["info"] or {}).get("duration_s"),
        **analysis,
    }


def delete_item(session: Session, item_id: str) -> None:
    """Forget an item and all that was found in it; jobs that work on it are told to stop. UnknownItem.

    Its file goes with the next collection of garbage, unless another item or job needs it.
    """
    seq = changes.next_seq(session)
    kind = session.execute(select(t.items.c.kind).where(t.items.c.id == item_id).with_for_update()).scalar_one_or_none()
    if kind is None:
        raise UnknownItem(f"there is no item {item_id!r}")
    session.execute(delete(t.items).where(t.items.c.id == item_id))
    changes.record(session, seq, "deleted", item_id, kind)
    _stop_jobs(session, item_id)


def _stop_jobs(session: Session, item_id: str) -> None:
    error = ItemDeleted(f"item {item_id} was deleted before its job began")
    about = t.jobs.c.id.in_(select(t.job_items.c.job_id).where(t.job_items.c.item_id == item_id))
    queued, running = about & (t.jobs.c.state == "queued"), about & (t.jobs.c.state == "running")
    record = {"code": error.code, "detail": error.detail, "hint": error.hint}
    ended = {"state": "failed", "error": record, "key": None, "ended_at": clock(), "stage": "failed"}
    session.execute(update(t.jobs).where(queued).values(**ended))
    session.execute(update(t.jobs).where(running, t.jobs.c.stop_code.is_(None)).values(stop_code=error.code))
    session.execute(update(t.jobs).where(about & (t.jobs.c.state == "done")).values(key=None))


def count_items(session: Session) -> dict[str, int]:
    """How many there are of each kind."""
    rows = session.execute(select(t.items.c.kind, func.count()).group_by(t.items.c.kind))
    return {"dance": 0, "music": 0, **{str(row[0]): int(row[1]) for row in rows}}
