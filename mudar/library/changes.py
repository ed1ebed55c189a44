"""The log of what changed, in an order that is the order of commits, so that an index can follow it.

The next sequence number comes from one row that is updated in the same transaction: its lock is held until the
commit, so nobody can take number n + 1 before n is visible. There are no gaps, and whoever has seen n has seen all
before it. That lock is the first one that any transaction of the library takes, so there is no deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, insert, select, text, update

from mudar.library import tables as t
from mudar.library.db import Session, clock

CHANNEL = "mudar_changes"  # PostgreSQL's LISTEN/NOTIFY


@dataclass(frozen=True)
class Change:
    """One event. A deletion concerns every model (`model` is None)."""

    seq: int
    action: Literal["stored", "deleted"]
    item_id: str
    kind: str
    model: str | None


def next_seq(session: Session) -> int:
    """Take the next sequence number, and with it the right to commit next."""
    value = session.execute(
        update(t.counters)
        .where(t.counters.c.name == "changes")
        .values(value=t.counters.c.value + 1)
        .returning(t.counters.c.value)
    ).scalar_one()
    return int(value)


def record(session: Session, change: Change) -> None:
    """Write the change; listeners on PostgreSQL hear of it at the commit."""
    session.execute(insert(t.changes).values(**vars(change), at=clock()))
    if session.dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


def last_seq(session: Session) -> int:
    """The sequence number of the last committed change; 0 before the first."""
    return int(session.execute(select(t.counters.c.value).where(t.counters.c.name == "changes")).scalar_one())


def library_id(session: Session) -> int:
    """A number that tells this library from any other, so that no index is built from two."""
    return int(session.execute(select(t.counters.c.value).where(t.counters.c.name == "library")).scalar_one())


def since(session: Session, seq: int, limit: int = 1000) -> list[Change]:
    """The next `limit` changes after `seq`, in order."""
    rows = session.execute(
        select(*t.changes.c["seq", "action", "item_id", "kind", "model"])
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
