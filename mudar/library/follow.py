"""Keeps an index of one model's vectors equal to the database, by following its change log.

start: snapshot (if it is whole and ours) or rebuild → then, a few times a second, the changes that came since.
Whatever a change says, what is put into the index is what the database holds now; so a change may be applied twice,
and an item that was deleted cannot come back. Knows the library and the index; no web.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mudar import index_store
from mudar.index_store import SnapshotUnusable, Stamp
from mudar.library import analyses, changes
from mudar.library.db import Database, Session
from mudar.records import Kind
from mudar.retrieve import HybridIndex

log = logging.getLogger(__name__)

POLL_S = 0.25
SAVE_EVERY_S = 300.0
_BATCH = 500
_KINDS: tuple[Kind, ...] = ("dance", "music")


class _Behind(Exception):
    """The log does not reach back to where we are, or is not the one that we followed."""


class IndexFollower:
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
    ) -> None:
        self.model, self.folder = model, folder
        self._database, self._dims = database, (embed_dim, rhythm_dim)
        self._poll_s, self._save_every_s = poll_s, save_every_s
        self._indexes = self._empty()
        self._library = self.seq = self._saved_seq = -1
        self._changing = threading.RLock()  # one catches up at a time
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.rebuilds: list[str] = []  # why the index was built from the database, each time it was

    def index(self, kind: Kind) -> HybridIndex:
        """The index of all dances, or of all music. Ask anew for each search: a rebuild makes a new one."""
        return self._indexes[kind]

    def start(self) -> None:
        """Load or build the indexes, catch up, and follow in a thread of our own."""
        self.open()
        self._thread = threading.Thread(target=self._follow, name=f"index of {self.model}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, and save what came since the last snapshot."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
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

    def save(self) -> None:
        """Write a snapshot if there is anything new; a failure (disk full) is logged, and the old one stays."""
        with self._changing:
            if self.seq == self._saved_seq:
                return
            try:
                for kind in _KINDS:
                    stamp = Stamp(self._library, self.model, kind, self.seq)
                    index_store.save(self._indexes[kind], self._path(kind), stamp)
                self._saved_seq = self.seq
            except OSError as error:
                log.warning("no snapshot of the index of %s: %s", self.model, error)

    def _follow(self) -> None:
        waited_s = 0.0
        while not self._stopping.wait(self._poll_s):
            try:
                self.catch_up()
            except (SQLAlchemyError, OSError) as error:  # the database is away: what we hold still answers
                log.warning("the index of %s cannot follow the database: %s", self.model, error)
                self._stopping.wait(1.0)
            waited_s += self._poll_s
            if waited_s >= self._save_every_s:
                self.save()
                waited_s = 0.0

    def _apply_next(self, session: Session) -> int:
        last = changes.last_seq(session)
        if changes.library_id(session) != self._library or last < self.seq:
            raise _Behind("the database is not the one that was followed")
        if last == self.seq:
            return 0
        batch = changes.since(session, self.seq, _BATCH)
        if not batch or batch[0].seq != self.seq + 1:
            raise _Behind("the log of changes does not reach back far enough")
        touched = sorted({c.item_id for c in batch if c.action == "deleted" or c.model == self.model})
        for kind in _KINDS:
            rows = analyses.segments_of(session, self.model, kind, self._dims, touched)
            self._indexes[kind].replace(touched, *rows)
        self.seq = batch[-1].seq
        return len(batch)

    def _rebuild(self, why: str) -> None:
        log.info("the index of %s is built from the database: %s", self.model, why)
        indexes = self._empty()
        with self._database.read() as session:
            # The number before the rows: what commits in between is then applied once more, never missed.
            library, seq = changes.library_id(session), changes.last_seq(session)
            for kind in _KINDS:
                for block in analyses.segment_blocks(session, self.model, kind, self._dims):
                    indexes[kind].add(*block)
        self._indexes, self._library, self.seq = indexes, library, seq
        self._saved_seq = -1
        self.rebuilds.append(why)

    def _load(self) -> None:
        with self._database.read() as session:
            library, last = changes.library_id(session), changes.last_seq(session)
        loaded = {
            kind: index_store.load(self._path(kind), Stamp(library, self.model, kind, last), *self._dims)
            for kind in _KINDS
        }
        self._indexes = {kind: index for kind, (index, _) in loaded.items()}
        # The two are written one after the other; from the older number on, a change applied twice does no harm.
        self._library, self.seq = library, min(seq for _, seq in loaded.values())
        self._saved_seq = self.seq

    def _path(self, kind: Kind) -> Path:
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", self.model)[:60]
        return self.folder / f"{readable}-{hashlib.sha256(self.model.encode()).hexdigest()[:8]}.{kind}.index"

    def _empty(self) -> dict[Kind, HybridIndex]:
        return {kind: HybridIndex(*self._dims) for kind in _KINDS}
