"""Feeds one model's segments into Milvus, from the library's log of changes, for all processes that search there.

One writes at a time: a row of the database is held while a batch goes in, so that an item that one process deletes
cannot be put back by another that is late. The collection itself says up to which change it is filled (after the
rows), so a writer that dies in between leaves work that is done once more, and an engine that was emptied, or a
database that was set back, is seen and filled anew. Knows the library and the collection; no web.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from mudar.errors import IndexUnavailable
from mudar.index.milvus import Mark, Milvus, MilvusIndex
from mudar.library import analyses, changes
from mudar.library import tables as t
from mudar.library.db import Database, Session
from mudar.library.items import insert_new
from mudar.library.notifications import ChangeListener
from mudar.records import Kind

log = logging.getLogger(__name__)

_KINDS: tuple[Kind, ...] = ("dance", "music")
_BATCH = 500
_FRESH_S = 10.0  # Milvus lets searches lag by 5 s; those within so long after a change are told to wait for it
_NEVER = -1


class MilvusReplica:
    """Two collections of one model. Use `start`, at last `stop`; several processes may follow the same ones."""

    def __init__(
        self,
        database: Database,
        model: str,
        embed_dim: int,
        rhythm_dim: int,
        engine: Milvus,
        *,
        poll_s: float = 0.25,
        index_type: str = "FLAT",
    ) -> None:
        self.model, self.engine = model, engine
        self._database, self._dims, self._poll_s, self._type = database, (embed_dim, rhythm_dim), poll_s, index_type
        self._library, self._noted_seq, self._changed_at = 0, _NEVER, time.monotonic()
        self._indexes: dict[Kind, MilvusIndex] = {}
        self._changing = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.rebuilds: list[str] = []  # why the collections were filled anew, each time they were

    def index(self, kind: Kind) -> MilvusIndex:
        """The collection of all dances, or of all music. IndexUnavailable while there was no way to make it."""
        if not self._indexes:
            self.open()
        index = self._indexes[kind]
        index.fresh = time.monotonic() - self._changed_at < _FRESH_S
        return index

    def start(self) -> None:
        """Follow in a thread of our own; an engine that is away now may come later."""
        self._thread = threading.Thread(target=self._follow, name=f"milvus of {self.model}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def open(self) -> None:
        """Look whether the collections are what the log says; fill them if not. IndexUnavailable."""
        self.catch_up()

    def catch_up(self) -> int:
        """Apply what was committed since, unless another process has; returns how many changes. IndexUnavailable."""
        with self._changing:
            applied = 0
            while True:
                with self._database.read() as session:
                    head, filled = changes.head(session), self._filled(session)
                if head.library == self._library and filled == head.seq and self._noted_seq != _NEVER:
                    self._note(filled)
                    return applied
                self.engine.ping()  # before anything is locked
                with self._database.begin() as session:
                    applied += self._apply_next(session)

    def _apply_next(self, session: Session) -> int:
        """The next batch into the collections, while nobody else may."""
        filled, head = self._hold(session), changes.head(session)
        self._use(head.library)
        mark = self._mark()
        if mark is None:
            return self._fill(session, head, "there is nothing usable")
        batch = changes.since(session, max(mark.seq - 1, 0), _BATCH + 1)
        if mark.seq > head.seq or not _goes_on(mark, batch):
            return self._fill(session, head, "the log is not the one that was followed")
        batch = [change for change in batch if change.seq > mark.seq]
        touched = sorted({c.item_id for c in batch if c.action == "deleted" or c.model == self.model})
        for kind in _KINDS if touched else ():
            rows = analyses.segments_of(session, self.model, kind, self._dims, touched)
            self._indexes[kind].replace(touched, *rows)
        if batch:
            mark = Mark(batch[-1].seq, batch[-1].at)
            self._set_mark(session, mark)
        elif filled != mark.seq:
            self._write_filled(session, mark.seq)
        self._note(mark.seq, force=self._noted_seq == _NEVER)
        return len(batch)

    def _fill(self, session: Session, head: changes.LogPosition, why: str) -> int:
        log.info("the collections of %s are filled from the database: %s", self.model, why)
        for kind in _KINDS:
            self._indexes[kind].create(anew=True)
            for block in analyses.segment_blocks(session, self.model, kind, self._dims):
                self._indexes[kind].replace((), *block)
        self._set_mark(session, Mark(head.seq, head.at))
        self.rebuilds.append(why)
        self._note(head.seq, force=True)
        return 0

    def _use(self, library: int) -> None:
        """The collections of this library, made if they are not there."""
        if library == self._library and self._indexes:
            return
        model = hashlib.sha256(f"{self.model} {self._dims} {self._type}".encode()).hexdigest()[:12]
        self._indexes = {
            kind: MilvusIndex(self.engine, f"mudar_{library:x}_{model}_{kind}", *self._dims, self._type)
            for kind in _KINDS
        }
        self._library, self._noted_seq = library, _NEVER

    def _mark(self) -> Mark | None:
        """The older of the two collections' marks; None when one has none."""
        marks = [self._indexes[kind].mark() for kind in _KINDS]
        known = [mark for mark in marks if mark is not None]
        return min(known) if len(known) == len(marks) else None

    def _set_mark(self, session: Session, mark: Mark) -> None:
        for kind in _KINDS:
            self._indexes[kind].set_mark(mark)
        self._write_filled(session, mark.seq)

    def _note(self, seq: int, *, force: bool = False) -> None:
        """Remember when we saw that the collections changed, whoever changed them."""
        if seq != self._noted_seq or force:
            self._noted_seq, self._changed_at = seq, time.monotonic()
            for index in self._indexes.values():
                index.count()

    @property
    def _name(self) -> str:
        return "milvus:" + hashlib.sha256(f"{self.engine.url} {self.model} {self._type}".encode()).hexdigest()[:24]

    def _filled(self, session: Session) -> int:
        """The last change that anybody put in, as the database remembers it."""
        row = session.execute(select(t.counters.c.value).where(t.counters.c.name == self._name)).scalar_one_or_none()
        return _NEVER if row is None else int(row)

    def _hold(self, session: Session) -> int:
        """The same, held until this transaction ends."""
        row = {"name": self._name, "value": _NEVER}
        session.execute(insert_new(session, t.counters, row).on_conflict_do_nothing())
        locked = select(t.counters.c.value).where(t.counters.c.name == self._name).with_for_update()
        return int(session.execute(locked).scalar_one())

    def _write_filled(self, session: Session, seq: int) -> None:
        session.execute(update(t.counters).where(t.counters.c.name == self._name).values(value=seq))

    def _follow(self) -> None:
        waker, quiet = ChangeListener(self._database.engine), True
        while not self._stopping.is_set():
            try:
                self.catch_up()
                quiet = True
            except (IndexUnavailable, SQLAlchemyError, OSError) as error:
                log.log(logging.WARNING if quiet else logging.DEBUG, "%s cannot be followed: %s", self.model, error)
                quiet = False
                self._stopping.wait(1.0)
            waker.wait(self._poll_s, self._stopping)
        waker.close()


def _goes_on(mark: Mark, batch: list[changes.Change]) -> bool:
    """Whether a log, from the change of the mark on, is the one that the collection was filled from."""
    if mark.seq == 0:
        return not batch or batch[0].seq == 1
    return bool(batch) and (batch[0].seq, batch[0].at) == (mark.seq, mark.at)
