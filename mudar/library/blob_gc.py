"""Which files are still needed, and the removal of the rest. The one place that knows rows and files.

A file is needed while an item or a job's row names it. Whoever brings a file in touches it (`BlobStore.adopt`) and
then names it (`hold_blob`) within the grace time; what is not named by then was left behind by a crash.
"""

from __future__ import annotations

from sqlalchemy import delete, exists, select

from mudar.library import tables as t
from mudar.library.blobs import BlobStore
from mudar.library.db import Database, clock

GRACE_S = 3600.0


def collect_garbage(database: Database, store: BlobStore, *, grace_s: float = GRACE_S) -> list[str]:
    """Remove the files that nobody needs; returns their sha256. Safe beside uploads, jobs and other collectors."""
    with database.begin() as session:
        in_items = exists().where(t.items.c.sha256 == t.blobs.c.sha256)
        in_jobs = exists().where(t.job_blobs.c.sha256 == t.blobs.c.sha256)
        old = t.blobs.c.held_at < clock() - grace_s
        session.execute(delete(t.blobs).where(old, ~in_items, ~in_jobs))
    with database.read() as session:
        needed = set(session.execute(select(t.blobs.c.sha256)).scalars())
    return store.sweep(needed, grace_s)
