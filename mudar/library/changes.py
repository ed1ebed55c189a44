"""The log of what changed, in an order that is the order of commits, so that an index can follow it.

The next sequence number comes from one row that is updated in the same transaction: its lock is held until the
commit, so nobody can take number n + 1 before n is visible. There are no gaps, and whoever has seen n has seen all
before it. That lock is the first one that any transaction of the library takes, so there is no deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import func, insert, select, update

from mudar.library import tables as t
from mudar.library.db import Session, clock
from mudar.library.notifications import notify

Action = Literal["stored", "deleted"]


@dataclass(frozen=True)
class Change:
    """One event. A deletion concerns every model (`model` is None)."""

    seq: int
    action: Action
    item_id: str
    kind: str
    model: str | None
    at: float


class LogPosition(NamedTuple):
    """Where a log ends: the library's own number, the last sequence number (0 before the first), its time."""

    library: int
    seq: int
    at: float


def next_seq(session: Session) -> int:
    """Take the next sequence number, and with it the right to commit next."""
    value = session.execute(
        update(t.counters)
        .where(t.counters.c.name == "changes")
        .values(value=t.counters.c.value + 1)
        .returning(t.counters.c.value)
    ).scalar_one()
    return int(value)


def record(session: Session, seq: int, action: Action, item_id: str, kind: str, model: str | None = None) -> None:
    """Write the change that has this number; followers hear of it at the commit."""
    row = {"seq": seq, "action": action, "item_id": item_id, "kind": kind, "model": model, "at": clock()}
    session.execute(insert(t.changes).values(row))
    notify(session)


_COUNTER, _LIBRARY = t.counters.alias(), t.counters.alias()
_HEAD = (  # built once: each search asks it
    select(_LIBRARY.c.value, _COUNTER.c.value, t.changes.c.at)
    .select_from(
        _COUNTER.join(_LIBRARY, _LIBRARY.c.name == "library").outerjoin(t.changes, t.changes.c.seq == _COUNTER.c.value)
    )
    .where(_COUNTER.c.name == "changes")
)


def head(session: Session) -> LogPosition:
    """Where the log ends now."""
    row = session.execute(_HEAD).one()
    return LogPosition(int(row[0]), int(row[1]), float(row[2] or 0.0))


def since(session: Session, seq: int, limit: int = 1000) -> list[Change]:
    """The next `limit` changes after `seq`, in order."""
    rows = session.execute(
        select(*t.changes.c["seq", "action", "item_id", "kind", "model", "at"])
        .where(t.changes.c.seq > seq)
        .order_by(t.changes.c.seq)
        .limit(limit)
    )
    return [Change(*row) for row in rows]


def prune(session: Session, keep_s: float) -> int:
    """Forget changes older than `keep_s` seconds; whoever is further behind rebuilds. Returns how many went."""
    newest = select(func.max(t.changes.c.seq)).scalar_subquery()
    gone = session.execute(t.changes.delete().where(t.changes.c.at < clock() - keep_s, t.changes.c.seq < newest))
    return int(gone.rowcount)
