"""Transactions, migrations and the clock, on both databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update

from mudar.errors import StorageFull
from mudar.library import analyses, annotations
from mudar.library import tables as t
from mudar.library.db import Database, clock
from mudar.records import Analysis
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


def test_rhythms_of_older_libraries_are_completed(
    database: Database, new_item: Callable[..., str], analysis: Callable[..., Analysis]
) -> None:
    """As 0.3 wrote them: a dance without beats, one that was edited before impacts were kept, one that is complete."""
    ids, given = [new_item() for _ in range(3)], analysis()
    late = ("impacts_s", "peaks_s", "peak_strengths", "speed", "speed_fps")
    with database.begin() as session:
        for item_id in ids:
            analyses.store_analysis(session, item_id, "m@1", given)
        complete = analyses.stored_rhythm(session, ids[2])
        oldest = {name: value for name, value in complete.items() if name not in (*late, "beats_s", "downbeats_s")}
        edited = {name: value for name, value in complete.items() if name not in late}
        points = ("times_s", "strengths", "beats_s", "downbeats_s", "tempo_bpm")
        edited["found"] = {name: edited[name] for name in points}
        edited |= {"speed": [2.0, 4.0], "speed_fps": 30.0}  # a sum over the directions
        for item_id, record in zip(ids, (oldest, edited), strict=False):
            session.execute(update(t.analyses).where(t.analyses.c.item_id == item_id).values(rhythm=record))
        session.exec_driver_sql("UPDATE alembic_version SET version_num = 'r0001'")
    database.migrate()
    with database.begin() as session:
        assert analyses.rhythm(session, ids[0]).beats_s.tolist() == []
        assert analyses.rhythm(session, ids[1]).beats_s.tolist() == given.rhythm.beats_s.tolist()
        assert analyses.rhythm(session, ids[1]).total_speed.tolist() == [2.0, 4.0]
        assert analyses.stored_rhythm(session, ids[2]) == complete
        for item_id in ids:
            annotations.edit_rhythm(session, item_id, {"times_s": [1.0, 2.0]})
            record = annotations.restore_rhythm(session, item_id)
            assert record["times_s"] == complete["times_s"]
