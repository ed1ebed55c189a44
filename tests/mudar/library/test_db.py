"""Transactions, migrations and the clock, on both databases."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update

from mudar.errors import StorageFull
from mudar.library import tables as t
from mudar.library.db import Database, clock
from tests.waiting import PATIENCE_S


def test_the_migrations_make_the_tables_that_the_code_expects(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, t.METADATA) == []


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.migrate, databases))
    with databases[0].read() as session:
        assert session.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
        assert session.execute(text("SELECT count(*) FROM counters")).scalar() == 2
    for database in databases:
        database.close()


def test_an_exception_undoes_the_whole_event(database: Database) -> None:
    raises = pytest.raises(RuntimeError)
    with raises, database.begin() as session:
        session.execute(update(t.counters).values(value=99))
        raise RuntimeError
    with database.read() as session:
        assert 99 not in session.execute(select(t.counters.c.value)).scalars().all()


def test_no_update_is_lost_between_a_look_and_a_write(database: Database) -> None:
    """Each writer reads, waits, and writes what it read plus one: only the lock keeps the count right."""

    def count(_: int) -> None:
        with database.begin() as session:
            counter = t.counters.c.name == "changes"
            value = session.execute(select(t.counters.c.value).where(counter).with_for_update()).scalar_one()
            time.sleep(0.002)
            session.execute(update(t.counters).where(counter).values(value=value + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
    with database.read() as session:
        assert session.execute(select(t.counters.c.value).where(t.counters.c.name == "changes")).scalar_one() == 40


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with database.begin() as session:
            session.execute(update(t.counters).values(value=7))
            inside.set()
            leave.wait(PATIENCE_S)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(PATIENCE_S)
    with database.read() as session:
        assert 7 not in session.execute(select(t.counters.c.value)).scalars().all()
    leave.set()  # only now may the writer end
    writer.join()


def test_the_clock_is_utc_and_moves_within_a_transaction(database: Database) -> None:
    with database.read() as session:
        first = session.execute(select(clock())).scalar_one()
        time.sleep(0.02)
        second = session.execute(select(clock())).scalar_one()
    assert abs(first - time.time()) < PATIENCE_S
    assert 0.01 < second - first < PATIENCE_S


def test_a_full_database_says_so_and_keeps_what_it_had(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/full.sqlite3")
    database.migrate()
    full = pytest.raises(StorageFull)
    with full, database.begin() as session:
        pages = session.exec_driver_sql("PRAGMA page_count").scalar_one()
        session.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        for name in range(100):
            session.execute(t.counters.insert().values(name=f"{name:040d}", value=0))
    with database.read() as session:
        assert len(session.execute(select(t.counters)).all()) == 2
    database.close()
