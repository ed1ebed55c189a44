"""The index equals the database: after changes, restarts, damage, other libraries, and kill -9 at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mudar.library import analyses, changes, items
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.records import Analysis
from tests.waiting import wait_until

NewItem = Callable[..., str]
Make = Callable[..., Analysis]
QUERY = np.full((1, 6), 0.4, np.float32), np.full((1, 4), -0.4, np.float32)


@pytest.fixture
def put(database: Database, new_item: NewItem, analysis: Make) -> Callable[..., str]:
    """Makes an item and stores an analysis of it; gives its id."""
    rng = random.Random(0)

    def make(kind: str = "dance", model: str = "m@1", item_id: str = "") -> str:
        item_id = item_id or new_item(kind)
        given = analysis(rng.randrange(10**6), kind=kind, segments=rng.randint(1, 4), model=model)
        with database.begin() as session:
            analyses.store_analysis(session, item_id, model, given)
        return item_id

    return make


@pytest.fixture
def follow(database: Database, tmp_path: Path) -> Iterator[Callable[..., IndexReplica]]:
    """Opens followers of model m@1 that share a folder; stops them at the end."""
    followers: list[IndexReplica] = []

    def make(folder: Path = tmp_path / "index", **kw: float) -> IndexReplica:
        followers.append(IndexReplica(database, "m@1", 6, 4, folder, **kw))
        return followers[-1]

    yield make
    for follower in followers:
        follower.stop()


def delete(database: Database, item_id: str) -> None:
    with database.begin() as session:
        items.delete_item(session, item_id)


def truth(database: Database, kind: str, model: str = "m@1") -> set[str]:
    """The items that have segments of this model, by asking each."""
    with database.read() as session:
        ids = items.ids_with(session, kind=kind)  # type: ignore[arg-type]
        return {item_id for item_id in ids if analyses.summary(session, item_id, model)}


def check(database: Database, follower: IndexReplica, fresh: IndexReplica) -> None:
    """The index holds what the database holds, and answers as one that was built just now."""
    fresh.open()
    assert len(fresh.rebuilds) == 1
    for kind in ("dance", "music"):
        ours, new = follower.index(kind), fresh.index(kind)  # type: ignore[arg-type]
        assert ours.item_ids() == truth(database, kind)
        assert len(ours) == len(new)
        for lam in (0.0, 0.5, 1.0):
            assert ours.search(*QUERY, lam, 100) == new.search(*QUERY, lam, 100)


@pytest.mark.slow
def test_it_follows_whatever_happens(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    rng, alive = random.Random(4), []
    follower = follow()
    follower.open()
    for turn in range(60):
        match rng.randrange(6) if alive else 0:
            case 0 | 1:
                alive.append(put(rng.choice(["dance", "music"])))
            case 2:
                put(model="other@1")
            case 3:
                with database.read() as session:
                    item = items.get_item(session, rng.choice(alive))
                put(item["kind"], item_id=item["id"])  # embedded again
            case 4:
                delete(database, alive.pop(rng.randrange(len(alive))))
            case 5:
                follower.catch_up()
                follower.save()
        if turn % 20 == 19:
            follower.catch_up()
            check(database, follower, follow(tmp_path / f"fresh{turn}"))
    assert follower.catch_up() == 0


def test_a_restart_takes_the_snapshot_and_what_came_since(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    old, gone = put(), put("music")
    first = follow()
    first.open()
    first.stop()
    new = put()
    delete(database, gone)
    second = follow()
    second.open()
    assert second.rebuilds == []
    assert second.index("dance").item_ids() == {old, new}
    assert second.index("music").item_ids() == set()
    check(database, second, follow(tmp_path / "fresh"))


@pytest.mark.parametrize("damage", ["torn", "flipped", "missing", "foreign", "mixed"])
def test_what_cannot_be_trusted_is_rebuilt(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path, damage: str
) -> None:
    put()
    first = follow()
    first.open()
    first.stop()
    path = next(first.folder.glob("*.dance.index"))
    complete = path.read_bytes()
    if damage == "torn":
        path.write_bytes(complete[:-9])
    elif damage == "flipped":
        path.write_bytes(complete[:-30] + bytes([complete[-30] ^ 1]) + complete[-29:])
    elif damage == "missing":
        path.unlink()
    elif damage == "foreign":
        become_another(database)
    else:
        path.write_bytes(next(first.folder.glob("*.music.index")).read_bytes())
    second = follow()
    second.open()
    assert len(second.rebuilds) == 1
    check(database, second, follow(tmp_path / "fresh"))


def become_another(database: Database) -> None:
    """Give the library another number, as if the database had been replaced by somebody else's."""
    with database.begin() as session:
        session.exec_driver_sql("UPDATE counters SET value = 1 WHERE name = 'library'")


def test_a_library_that_was_replaced_or_set_back_while_we_follow_is_noticed(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    put()
    follower = follow()
    follower.open()
    become_another(database)
    follower.catch_up()
    with database.begin() as session:  # a backup was restored: fewer changes than we have seen
        session.exec_driver_sql("UPDATE counters SET value = 0 WHERE name = 'changes'")
        session.exec_driver_sql("DELETE FROM changes")
        session.exec_driver_sql("DELETE FROM analyses")
    follower.catch_up()
    assert len(follower.rebuilds) == 3
    check(database, follower, follow(tmp_path / "fresh"))


def test_a_log_that_was_set_back_and_went_on_to_the_same_number_is_noticed(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    """As after a power cut or a restored backup: the same numbers stand for other changes."""
    put()
    lost = put()
    running, restarted = follow(), follow()
    running.open()
    running.save()
    with database.begin() as session:
        session.exec_driver_sql("UPDATE counters SET value = 1 WHERE name = 'changes'")
        session.exec_driver_sql("DELETE FROM changes WHERE seq = 2")
        session.exec_driver_sql(f"DELETE FROM items WHERE id = '{lost}'")
    put()
    for number, follower in enumerate((running, restarted)):
        follower.open() if follower is restarted else follower.catch_up()
        assert follower.index("dance").item_ids() == truth(database, "dance")
        check(database, follower, follow(tmp_path / f"fresh{number}"))
    assert running.rebuilds[1:] == ["the log of changes was set back"]
    assert restarted.rebuilds == ["the log of changes does not hold what the snapshot ends with"]


def test_who_is_further_behind_than_the_log_reaches_rebuilds(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    follower = follow()
    follower.open()
    follower.stop()
    gone = put()
    put()
    delete(database, gone)
    with database.begin() as session:
        changes.prune(session, keep_s=-60)
    late = follow()
    late.open()
    assert late.rebuilds == ["the log of changes does not reach back far enough"]
    check(database, late, follow(tmp_path / "fresh"))


def test_vectors_of_another_size_are_left_out(
    database: Database, new_item: NewItem, analysis: Make, follow: Callable[..., IndexReplica], put: NewItem
) -> None:
    odd, given = new_item(), analysis()
    segment = given.segments[0]
    foreign = Analysis("dance", 9.0, "m@1", given.rhythm, (type(segment)(0, 8, segment.rhythm, segment.embedding),))
    with database.begin() as session:
        analyses.store_analysis(session, odd, "m@1", foreign)
    good = put()
    follower = follow()
    follower.open()
    assert follower.index("dance").item_ids() == {good}


def test_several_followers_see_a_new_item(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    followers = [follow(tmp_path / str(n)) for n in range(3)]
    for follower in followers:
        follower.start()
    for action in (put, lambda: delete(database, next(iter(truth(database, "dance"))))):
        action()
        expected = truth(database, "dance")
        wait_until(
            lambda expected=expected: all(f.index("dance").item_ids() == expected for f in followers), every_s=0.01
        )


def test_postgresql_tells_of_changes_and_a_cut_line_is_mended(
    database: Database, put: Callable[..., str], follow: Callable[..., IndexReplica]
) -> None:
    lines = database.engine.dialect.name == "postgresql"
    follower = follow(poll_s=100_000.0 if lines else 0.1)
    follower.start()
    time.sleep(0.3)  # it listens
    for cut in (False, True):
        if cut and lines:
            with database.begin() as session:
                session.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
                )
        item_id = put()
        wait_until(lambda item_id=item_id: item_id in follower.index("dance"), every_s=0.01)


INGEST = """
import hashlib, itertools, random, sys
from pathlib import Path
import numpy as np
from mudar.library import analyses, items
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.records import Analysis, Rhythm, Segment

url, folder, turn = sys.argv[1:]
database, rng, mine = Database(url), random.Random(int(turn)), []
follower = IndexReplica(database, "m@1", 6, 4, Path(folder), poll_s=0.002, save_every_s=0.004)
follower.start()
none = np.zeros(0, np.float32)
for n in itertools.count():
    if mine and rng.random() < 0.3:
        item_id = mine.pop(rng.randrange(len(mine)))
        print("deleting", item_id, flush=True)
        with database.begin() as session:
            items.delete_item(session, item_id)
        print("deleted", item_id, flush=True)
        continue
    segments = tuple(Segment(0, 8, np.full(6, 0.1 * i, np.float32), np.full(4, 0.1, np.float32)) for i in range(3))
    with database.begin() as session:
        sha256 = hashlib.sha256(f"{turn} {n}".encode()).hexdigest()
        item_id = items.create_item(session, items.NewItem(sha256, "dance"))["id"]
        analysis = Analysis("dance", 8.0, "m@1", Rhythm(none, none, none, 15.0, 120.0), segments)
        analyses.store_analysis(session, item_id, "m@1", analysis)
    mine.append(item_id)
    print("stored", item_id, flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_committed_and_brings_nothing_back(
    database: Database, database_url: str, follow: Callable[..., IndexReplica], tmp_path: Path
) -> None:
    rounds = int(os.environ.get("MUDAR_TEST_KILLS", "2"))
    rng, said = random.Random(), {"stored": set(), "deleting": set(), "deleted": set()}  # type: ignore[var-annotated]
    used_snapshot = 0
    for turn in range(rounds):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(INGEST), database_url, str(tmp_path / "index"), str(turn)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.4))
        child.kill()
        for line in [first, *child.stdout]:
            if line.endswith("\n"):
                said[line.split()[0]].add(line.split()[1])
        child.wait()
        child.stdout.close()
        after = follow()
        after.open()
        used_snapshot += not after.rebuilds
        indexed = after.index("dance").item_ids()
        assert indexed == truth(database, "dance")
        assert said["stored"] - said["deleting"] <= indexed
        assert not said["deleted"] & indexed
    assert said["stored"]
    assert used_snapshot or rounds < 3
    check(database, after, follow(tmp_path / "fresh"))
