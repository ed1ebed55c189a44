"""One database, SQLite or PostgreSQL, behind the same two words: `begin` to write, `read` to look.

Knows engines, transactions, the clock and the migrations; knows nothing of what the tables mean.

A write transaction on SQLite begins with BEGIN IMMEDIATE: a transaction that reads first and writes later would
otherwise fail at the write when somebody else wrote in between, instead of waiting its turn.
"""

from __future__ import annotations

import errno
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Double, Engine, create_engine, event, literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from mudar.errors import StorageFull

log = logging.getLogger(__name__)

Session = Connection
"""An open transaction; what every function of the library takes first."""

SQLITE_WAIT_MS = 60_000  # how long a writer waits for its turn: a busy disk may hold one commit for many seconds
MIGRATION_LOCK = 0x6D75646172  # "mudar": the advisory lock that one migrating process holds


class _EpochNow(FunctionElement[float]):
    type = Double()
    inherit_cache = True


@compiles(_EpochNow, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(_EpochNow, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def clock(now: float | None = None) -> ColumnElement[float]:
    """Seconds since 1970 by the database's clock (machines may disagree; it does not), or `now` where given."""
    return _EpochNow() if now is None else literal(now, Double())


def _read_json(text: str | bytes) -> Any:
    """The stored value, or None where it is no JSON: one broken row must not break the lists that hold it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        log.error("a stored JSON value cannot be read: %s: %.200r", error, text)
        return None


def _to_wal(connection: sqlite3.Connection) -> None:
    """The first connection of all changes the file's journal. SQLite refuses that at once while another one looks,
    whatever busy_timeout says, so we wait ourselves."""
    deadline_s = time.monotonic() + SQLITE_WAIT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _on_sqlite(engine: Engine, durable: bool) -> None:
    # FULL: a commit survives a power cut, not only a crash. NORMAL never breaks the file, but may lose the last ones.
    synchronous = "FULL" if durable else "NORMAL"

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute(f"PRAGMA busy_timeout = {SQLITE_WAIT_MS}")
        _to_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("mudar_read_only", False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def make_engine(url: str, *, durable: bool = True) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://...`; the folder of a SQLite file is made."""
    parsed = make_url(url)
    to_json = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, json_serializer=to_json, json_deserializer=_read_json)
        _on_sqlite(engine, durable)
        return engine
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    args = {} if durable else {"options": "-c synchronous_commit=off"}
    pool: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 30}
    as_json = {"json_serializer": to_json, "json_deserializer": _read_json}
    return create_engine(parsed, **as_json, connect_args=args, **pool)


def _is_full(error: DBAPIError) -> bool:
    """Whether the database says that there is no room left."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")
        return name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and "WRITE" in name)
    return getattr(original, "sqlstate", None) == "53100" or getattr(original, "errno", None) == errno.ENOSPC


class Database:
    """Opens transactions on one engine. Make one per process, after a fork.

    durable: whether a commit waits for the disk. A worker need not: what a power cut takes from it, job and rows
    together, is done again; what a client was promised (an item, a job) waits.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self.engine = make_engine(url, durable=durable)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A transaction that may write: committed at the end, rolled back on any exception. StorageFull if no room."""
        try:
            with self.engine.begin() as session:
                yield session
        except DBAPIError as error:
            if _is_full(error):
                raise StorageFull(f"the database has no room left: {error.orig}") from error
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only looks; it never waits for a writer."""
        with self.engine.connect() as connection:
            session = connection.execution_options(mudar_read_only=True)
            with session.begin():
                yield session

    def ping(self) -> None:
        """Raises sqlalchemy.exc.OperationalError when the database does not answer."""
        with self.read() as session:
            session.execute(select(literal(1)))

    def migrate(self) -> None:
        """Bring the tables up to date; several processes may do so at once."""
        migrate(self.engine)

    def close(self) -> None:
        """Close what is pooled."""
        self.engine.dispose()


def migrate(engine: Engine) -> None:
    """Run the packaged Alembic migrations, all in one transaction that one process at a time holds."""
    from alembic import command
    from alembic.config import Config

    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
