"""Jobs, of which the database is the truth: the broker only carries their ids.

    queued ──claim──> running ──finish──> done
      │  ^               ├──fail──> failed · cancelled
      │  └──give_back,   │
      │     lease ran out┘  (after max_attempts: failed, worker_lost)
      └──cancel──> cancelled

A worker that claims a job holds a lease, shown by a token; heartbeats prolong it. Every update names the state and
the token that it expects, so that of two who try, one wins and the other learns it (LeaseLost). A worker that
was thought lost and comes back can therefore store nothing: `finish` stands in the same transaction as its rows.
Knows nothing of Celery or Redis.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_, update

from mudar.errors import JobError, LeaseLost, MudarError, UnknownItem, UnknownJob, WorkerLost, from_code
from mudar.library import tables as t
from mudar.library.db import Session, clock
from mudar.library.items import Page, hold_blob, insert_new
from mudar.library.serialization import cursor_of, iso_time, parse_cursor

LEASE_S = 15.0
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Claim:
    """A job that is this worker's for as long as it sends heartbeats with this token."""

    job_id: str
    token: str
    kind: str
    params: dict[str, Any]
    item_ids: tuple[str, ...]
    attempts: int


@dataclass(frozen=True)
class RequeuedJobs:
    """What a sweep did: these ids want to be enqueued again, these jobs have ended."""

    enqueue: list[str]
    ended: list[str]


# --- asking ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobSpec:
    """Describes a job to create.

    key: names the work (such as `embed:{item ids}:{model}`), so that asking twice makes one job.
    blobs: role -> sha256 of files that only this job needs.
    """

    kind: str
    params: Mapping[str, Any]
    item_ids: Sequence[str] = ()
    key: str | None = None
    blobs: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = MAX_ATTEMPTS


def create_job(session: Session, spec: JobSpec) -> dict[str, Any]:
    """Queues a job and returns its dict, with one more key, `created`.

    If a job of the same key is queued, running or done, that one is returned, and nothing is created; a job that failed
    or was cancelled, or whose item was deleted, gave its key up. The items are locked until the transaction ends;
    UnknownItem when one is not there.
    """
    for item_id in sorted(set(spec.item_ids)):
        locked = select(t.items.c.id).where(t.items.c.id == item_id).with_for_update(read=True)
        if session.execute(locked).first() is None:
            raise UnknownItem(f"there is no item {item_id!r}")
    job_id, params = f"{spec.kind}-{secrets.token_hex(8)}", dict(spec.params)
    row: dict[str, Any] = {"id": job_id, "kind": spec.kind, "key": spec.key, "params": params, "created_at": clock()}
    row |= {"state": "queued", "stage": "queued", "progress": 0.0, "attempts": 0, "max_attempts": spec.max_attempts}
    other = _insert_or_find(session, row)
    if other is not None:
        return {**get_job(session, other), "created": False}
    rows = [{"job_id": job_id, "position": i, "item_id": item_id} for i, item_id in enumerate(spec.item_ids)]
    if rows:
        session.execute(insert(t.job_items), rows)
    _hold_blobs(session, job_id, spec.blobs)
    return {**get_job(session, job_id), "created": True}


def _insert_or_find(session: Session, row: dict[str, Any]) -> str | None:
    """Insert the job, or give the id of the one that has its key."""
    query = insert_new(session, t.jobs, row).on_conflict_do_nothing(index_elements=["key"]).returning(t.jobs.c.id)
    holder = select(t.jobs.c.id).where(t.jobs.c.key == row["key"])
    while session.execute(query).first() is None:
        other = session.execute(holder).scalar_one_or_none()
        if other is not None:  # else it ended badly between our two looks, and let go of the key
            return str(other)
    return None


def _hold_blobs(session: Session, job_id: str, blobs: Mapping[str, str]) -> None:
    for role, sha256 in sorted(blobs.items(), key=lambda blob: blob[1]):  # one order of locks for all
        hold_blob(session, sha256)
        row = {"job_id": job_id, "role": role, "sha256": sha256}
        query = insert_new(session, t.job_blobs, row)
        session.execute(query.on_conflict_do_update(index_elements=["job_id", "role"], set_={"sha256": sha256}))


def get_job(session: Session, job_id: str) -> dict[str, Any]:
    """The job as JSON: id, kind, state, progress, stage, result, error, and attempts, times, item_ids, blobs."""
    row = session.execute(select(t.jobs).where(t.jobs.c.id == job_id)).mappings().one_or_none()
    if row is None:
        raise UnknownJob(f"there is no job {job_id!r}")
    return _describe(session, [row])[0]


def list_jobs(
    session: Session, *, state: str | None = None, kind: str | None = None, cursor: str | None = None, limit: int = 50
) -> Page:
    """Newest first, `limit` at a time."""
    query = select(t.jobs).order_by(t.jobs.c.created_at.desc(), t.jobs.c.id.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(t.jobs.c.state == state)
    if kind is not None:
        query = query.where(t.jobs.c.kind == kind)
    if cursor is not None:
        query = query.where(tuple_(t.jobs.c.created_at, t.jobs.c.id) < tuple_(*parse_cursor(cursor)))
    rows = session.execute(query).mappings().all()
    more, rows = len(rows) > limit, rows[:limit]
    return Page(_describe(session, rows), cursor_of(rows[-1]["created_at"], rows[-1]["id"]) if more else None)


def _describe(session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    of: dict[str, list[str]] = {job_id: [] for job_id in ids}
    query = select(t.job_items).where(t.job_items.c.job_id.in_(ids)).order_by(t.job_items.c.position)
    for job_id, _, item_id in session.execute(query):
        of[job_id].append(item_id)
    files: dict[str, dict[str, str]] = {job_id: {} for job_id in ids}
    for job_id, role, sha256 in session.execute(select(t.job_blobs).where(t.job_blobs.c.job_id.in_(ids))):
        files[job_id][role] = sha256
    return [_job_dict(row, of[row["id"]], files[row["id"]]) for row in rows]


def _job_dict(row: Any, item_ids: list[str], files: dict[str, str]) -> dict[str, Any]:
    same = ("id", "kind", "state", "progress", "stage", "result", "error", "attempts")
    return {
        **{name: row[name] for name in same},
        "cancel_requested": row["stop_code"] == "cancelled",
        "created_at": iso_time(row["created_at"]),
        "started_at": iso_time(row["started_at"]),
        "ended_at": iso_time(row["ended_at"]),
        "item_ids": item_ids,
        "blobs": files,
    }


def cancel(session: Session, job_id: str) -> dict[str, Any]:
    """Cancel a queued job now, ask a running one to stop at its next heartbeat, leave an ended one. UnknownJob."""
    error = _problem(from_code("cancelled", "the job was cancelled before it began"))
    mine = t.jobs.c.id == job_id
    ended = {"state": "cancelled", "stage": "cancelled", "error": error, "key": None, "ended_at": clock()}
    session.execute(update(t.jobs).where(mine, t.jobs.c.state == "queued").values(**ended))
    running = mine & (t.jobs.c.state == "running") & t.jobs.c.stop_code.is_(None)
    session.execute(update(t.jobs).where(running).values(stop_code="cancelled"))
    return get_job(session, job_id)


def queued_jobs(session: Session, limit: int = 10_000) -> list[str]:
    """The ids of all queued jobs, oldest first: what the broker should hold."""
    query = select(t.jobs.c.id).where(t.jobs.c.state == "queued").order_by(t.jobs.c.created_at, t.jobs.c.id)
    return list(session.execute(query.limit(limit)).scalars())


def count_jobs(session: Session) -> dict[str, int]:
    """How many jobs are in each state."""
    rows = session.execute(select(t.jobs.c.state, func.count()).group_by(t.jobs.c.state))
    counts = {str(row[0]): int(row[1]) for row in rows}
    return {state: counts.get(state, 0) for state in t.JOB_STATES}


def forget_jobs(session: Session, older_than_s: float, *, now: float | None = None) -> int:
    """Drop jobs that ended that long ago, and their hold on files. Returns how many."""
    old = t.jobs.c.state.in_(t.END_STATES) & (t.jobs.c.ended_at < clock(now) - older_than_s)
    ids = list(session.execute(select(t.jobs.c.id).where(old).with_for_update(skip_locked=True)).scalars())
    return int(session.execute(delete(t.jobs).where(t.jobs.c.id.in_(ids))).rowcount)


# --- working --------------------------------------------------------------------------------------------------


def claim(
    session: Session, job_id: str, worker: str, *, lease_s: float = LEASE_S, now: float | None = None
) -> Claim | None:
    """Take a queued job; None when it is not there to be taken (ended, cancelled, or somebody else's)."""
    token = secrets.token_hex(16)
    lease = {"lease_token": token, "lease_until": clock(now) + lease_s, "worker": worker, "stop_code": None}
    row = session.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job_id, t.jobs.c.state == "queued")
        .values(
            state="running",
            stage="starting",
            progress=0.0,
            attempts=t.jobs.c.attempts + 1,
            started_at=func.coalesce(t.jobs.c.started_at, clock(now)),
            **lease,
        )
        .returning(t.jobs.c.kind, t.jobs.c.params, t.jobs.c.attempts)
    ).one_or_none()
    if row is None:
        return None
    query = select(t.job_items.c.item_id).where(t.job_items.c.job_id == job_id).order_by(t.job_items.c.position)
    item_ids = tuple(session.execute(query).scalars())
    return Claim(job_id, token, row.kind, row.params, item_ids, row.attempts)


def _leased(job_id: str, token: str) -> ColumnElement[bool]:
    return (t.jobs.c.id == job_id) & (t.jobs.c.state == "running") & (t.jobs.c.lease_token == token)


def heartbeat(
    session: Session, claim: Claim, progress: float, stage: str, *, lease_s: float = LEASE_S, now: float | None = None
) -> MudarError | None:
    """Renews the lease and writes down how far the work is.

    Returns the error with which the worker should stop (Cancelled on request, ItemDeleted), else None.
    LeaseLost when the job is no longer this worker's.
    """
    values = {"progress": min(max(progress, 0.0), 1.0), "stage": stage, "lease_until": clock(now) + lease_s}
    row = session.execute(
        update(t.jobs).where(_leased(claim.job_id, claim.token)).values(**values).returning(t.jobs.c.stop_code)
    ).one_or_none()
    if row is None:
        raise LeaseLost(f"job {claim.job_id} is no longer this worker's")
    return from_code(row.stop_code, "") if row.stop_code else None


def finish(
    session: Session, job_id: str, token: str, result: Mapping[str, Any], *, blobs: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The job is done. Call it last in the transaction that stores what the job made; LeaseLost undoes that.

    blobs: role -> sha256 of files that the job made; they stay as long as the job's row does.
    """
    _hold_blobs(session, job_id, blobs or {})
    _end(session, job_id, token, state="done", stage="done", progress=1.0, result=dict(result), error=None)
    return get_job(session, job_id)


def fail(session: Session, job_id: str, token: str, error: MudarError | Mapping[str, Any]) -> dict[str, Any]:
    """The job ended badly: `cancelled` if the error's code says so, else `failed`. LeaseLost as in `finish`."""
    record = _problem(error) if isinstance(error, MudarError) else dict(error)
    state = "cancelled" if record.get("code") == "cancelled" else "failed"
    _end(session, job_id, token, state=state, stage=state, result=None, error=record, key=None)
    return get_job(session, job_id)


def _problem(error: MudarError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.detail, "hint": error.hint}


def _end(session: Session, job_id: str, token: str, **values: Any) -> None:
    free = {"lease_token": None, "lease_until": None, "ended_at": clock()}
    if not session.execute(update(t.jobs).where(_leased(job_id, token)).values(**values, **free)).rowcount:
        raise LeaseLost(f"job {job_id} is no longer this worker's")


def give_back(session: Session, job_id: str, token: str) -> None:
    """Put an unfinished job back into the queue, for a worker that is told to go; this try does not count."""
    free = {"lease_token": None, "lease_until": None, "state": "queued", "stage": "queued", "progress": 0.0}
    values = {**free, "attempts": t.jobs.c.attempts - 1}
    if not session.execute(update(t.jobs).where(_leased(job_id, token)).values(**values)).rowcount:
        raise LeaseLost(f"job {job_id} is no longer this worker's")


def requeue_expired(session: Session, *, now: float | None = None) -> RequeuedJobs:
    """Deal with leases that ran out: queue the job again, or end it when it was tried often enough or should stop."""
    expired = select(t.jobs).where(t.jobs.c.state == "running", t.jobs.c.lease_until < clock(now))
    swept = RequeuedJobs([], [])
    # Two sweepers must not wait for each other's rows in different orders: each takes what is free.
    for row in session.execute(expired.with_for_update(skip_locked=True)).mappings().all():
        error: JobError | MudarError | None = None
        if row["stop_code"]:
            error = from_code(row["stop_code"], "")
        elif row["attempts"] >= row["max_attempts"]:
            error = WorkerLost(f"the worker died in each of {row['attempts']} tries")
        if error is not None:
            fail(session, row["id"], row["lease_token"], error)
            swept.ended.append(row["id"])
            continue
        free = {"lease_token": None, "lease_until": None, "state": "queued", "stage": "queued", "progress": 0.0}
        session.execute(update(t.jobs).where(t.jobs.c.id == row["id"]).values(**free))
        swept.enqueue.append(row["id"])
    return swept
