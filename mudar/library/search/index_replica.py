"""Keeps an index of one model's vectors equal to the database, by following its change log.

start: snapshot (if it is whole and ours) or rebuild → then the changes that come since (wake.py says when to look).
Whatever a change says, what is put into the index is what the database holds now; so a change may be applied twice,
and an item that was deleted cannot come back. Knows the library and the index; no web.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mudar.index import builder, snapshot
from mudar.index.builder import EXACT_ROWS, IndexBuilder
from mudar.index.exact import Device
from mudar.index.hybrid import HybridIndex
from mudar.index.snapshot import SnapshotHeader, SnapshotUnusable
from mudar.library import analyses, changes
from mudar.library.changes import LogPosition
from mudar.library.db import Database, Session
from mudar.library.notifications import ChangeListener
from mudar.records import Kind

log = logging.getLogger(__name__)

POLL_S = 0.25
SAVE_EVERY_S = 300.0
GROW_EVERY_S = 5.0
_BATCH = 500
_KINDS: tuple[Kind, ...] = ("dance", "music")


class _Behind(Exception):
    """The log does not reach back to where we are, or is not the one that we followed."""


class IndexReplica:
    """Two indexes of one model, of dances and of music, that follow the database. Use `start`, at last `stop`."""

    def __init__(
        self,
        database: Database,
        model: str,
        embed_dim: int,
        rhythm_dim: int,
        folder: Path,
        *,
        poll_s: float = POLL_S,
        save_every_s: float = SAVE_EVERY_S,
        exact_rows: int = EXACT_ROWS,
        device: Device | None = None,
    ) -> None:
        """exact_rows: above so many rows, an index is searched approximately, with measured recall.

        device: puts exact indexes on a GPU as well (mudar/index/gpu.py).
        """
        self.model, self.folder = model, folder
        self._database, self._dims = database, (embed_dim, rhythm_dim)
        self._poll_s, self._save_every_s = poll_s, save_every_s
        self._builder = IndexBuilder(exact_rows, device)
        self._indexes = self._empty()
        self._covers, self._saved = LogPosition(-1, -1, 0.0), LogPosition(-1, -1, 0.0)
        self._changing = threading.RLock()  # one catches up at a time
        self._saving = threading.Lock()  # one saves, while others catch up
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.rebuilds: list[str] = []  # why the index was built from the database, each time it was

    def index(self, kind: Kind) -> HybridIndex:
        """The index of all dances, or of all music. Ask anew for each search: a rebuild makes a new one."""
        return self._indexes[kind]

    def start(self) -> None:
        """Load or build the indexes, catch up, and follow in a thread of our own."""
        self.open()
        for work in (self._follow, self._keep, self._grow):
            self._threads.append(threading.Thread(target=work, name=f"index of {self.model}", daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """Stop following, and save what came since the last snapshot."""
        self._stopping.set()
        for thread, patience_s in zip(self._threads, (None, None, 5.0), strict=False):
            thread.join(patience_s)  # lists in the making are not waited for
        self.save()

    def open(self) -> None:
        """Load the snapshots, or build from the database when that will not do; then catch up."""
        with self._changing:
            try:
                self._load()
            except SnapshotUnusable as error:
                self._rebuild(str(error))
            self.catch_up()

    def catch_up(self) -> int:
        """Apply what was committed since; returns how many changes. After it, searches see all of that."""
        with self._changing:
            applied = 0
            while True:
                try:
                    with self._database.read() as session:
                        count = self._apply_next(session)
                except _Behind as error:
                    self._rebuild(str(error))
                    continue
                applied += count
                if count < _BATCH:
                    return applied

    @property
    def seq(self) -> int:
        """The last change that the indexes hold."""
        return self._covers.seq

    def save(self) -> None:
        """Write snapshots if there is anything new; a failure (disk full) is logged, and the old ones stay."""
        with self._saving:
            try:
                self._write()
            except OSError as error:
                log.warning("no snapshot of the index of %s: %s", self.model, error)

    def _write(self) -> None:
        with self._changing:  # only while both are frozen: searches must not wait for a disk
            covers = self._covers
            if covers == self._saved:
                return
            frozen = {kind: self._indexes[kind].freeze() for kind in _KINDS}
        for kind in _KINDS:
            header = SnapshotHeader(covers.library, self.model, kind, covers.seq, covers.at)
            snapshot.save(frozen[kind], self._path(kind), header)
        self._saved = covers

    def _follow(self) -> None:
        waker = ChangeListener(self._database.engine)
        while not self._stopping.is_set():
            waker.wait(self._poll_s, self._stopping)
            if self._stopping.is_set():
                break
            try:
                self.catch_up()
            except (SQLAlchemyError, OSError) as error:  # the database is away: what we hold still answers
                log.warning("the index of %s cannot follow the database: %s", self.model, error)
                self._stopping.wait(1.0)
        waker.close()

    def _keep(self) -> None:
        """Snapshots, beside the following: a slow disk makes no replica late."""
        saved_at = time.monotonic() if self._saved == self._covers else -math.inf
        while not self._stopping.wait(self._poll_s):
            if self._saved != self._covers and time.monotonic() - saved_at >= self._save_every_s:
                self.save()
                saved_at = time.monotonic()

    def _grow(self) -> None:
        while not self._stopping.wait(GROW_EVERY_S):
            self.grow()

    def grow(self) -> bool:
        """Takes the next step of each index towards what its size asks for, beside searches; says if there was one."""
        grown = False
        for kind, other in (_KINDS, _KINDS[::-1]):
            index = self._indexes[kind]
            if self._stopping.is_set():
                break
            grown |= self._builder.grow(index, builder.held_out(self._indexes[other]))
        return grown

    def _apply_next(self, session: Session) -> int:
        """Apply the next batch; _Behind when what we hold is not a state that this log went through."""
        covers, head = self._covers, changes.head(session)
        if head.library != covers.library or head.seq < covers.seq:
            raise _Behind("the database is not the one that was followed")
        if head == covers:
            return 0
        batch = changes.since(session, max(covers.seq - 1, 0), _BATCH + 1)
        if covers.seq > 0:
            if not batch or batch[0].seq != covers.seq:
                raise _Behind("the log of changes does not reach back far enough")
            if batch.pop(0).at != covers.at:
                raise _Behind("the log of changes was set back")
        if batch and batch[0].seq != covers.seq + 1:
            raise _Behind("the log of changes does not reach back far enough")
        if not batch:
            return 0
        touched = sorted({c.item_id for c in batch if c.action == "deleted" or c.model == self.model})
        for kind in _KINDS:
            rows = analyses.segments_of(session, self.model, kind, self._dims, touched)
            self._indexes[kind].replace(touched, *rows)
        self._covers = LogPosition(head.library, batch[-1].seq, batch[-1].at)
        return len(batch)

    def _rebuild(self, why: str) -> None:
        log.info("the index of %s is built from the database: %s", self.model, why)
        indexes = self._empty()
        with self._database.read() as session:
            # The number before the rows: what commits in between is then applied once more, never missed.
            head = changes.head(session)
            for kind in _KINDS:
                for block in analyses.segment_blocks(session, self.model, kind, self._dims):
                    indexes[kind].add(*block)
        self._indexes, self._covers = indexes, head
        self.rebuilds.append(why)

    def _load(self) -> None:
        with self._database.read() as session:
            head = changes.head(session)
        loaded = {
            kind: snapshot.load(self._path(kind), SnapshotHeader(head.library, self.model, kind, head.seq), *self._dims)
            for kind in _KINDS
        }
        with self._database.read() as session:
            for _, header in loaded.values():
                self._check_mark(session, header)
        self._indexes = {kind: index for kind, (index, _) in loaded.items()}
        # The two are written one after the other; from the older number on, a change applied twice does no harm.
        oldest = min((header for _, header in loaded.values()), key=lambda header: header.seq)
        self._covers = self._saved = LogPosition(head.library, oldest.seq, oldest.at)

    def _check_mark(self, session: Session, header: SnapshotHeader) -> None:
        """A log that was set back and went on has the same numbers, but not at the same times."""
        if header.seq > 0:
            marked = changes.since(session, header.seq - 1, 1)
            if not marked or (marked[0].seq, marked[0].at) != (header.seq, header.at):
                raise SnapshotUnusable("the log of changes does not hold what the snapshot ends with")

    def _path(self, kind: Kind) -> Path:
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", self.model)[:60]
        return self.folder / f"{readable}-{hashlib.sha256(self.model.encode()).hexdigest()[:8]}.{kind}.index"

    def _empty(self) -> dict[Kind, HybridIndex]:
        return {kind: HybridIndex(*self._dims) for kind in _KINDS}
