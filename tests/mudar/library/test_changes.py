"""The order of the numbers is the order of the commits, however many write."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from mudar.library import analyses, changes, items
from mudar.library.db import Database
from mudar.records import Analysis


@pytest.mark.slow
def test_a_reader_never_sees_a_number_before_all_smaller_ones(
    database: Database, new_item: Callable[..., str], analysis: Callable[..., Analysis]
) -> None:
    """Writers linger between taking their number and committing; some give up. No reader may ever find a gap."""
    writers, each = 6, 10

    def write(seed: int) -> None:
        rng = random.Random(seed)
        for n in range(each):
            item_id = ids[seed][n]
            try:
                with database.begin() as session:
                    analyses.store_analysis(session, item_id, "m", analysis(seed * each + n, segments=1))
                    time.sleep(rng.random() * 0.004)
                    if rng.random() < 0.3:
                        raise InterruptedError
            except InterruptedError:
                continue
            if rng.random() < 0.4:
                with database.begin() as session:
                    items.delete_item(session, item_id)

    ids = {seed: [new_item() for _ in range(each)] for seed in range(writers)}
    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    followed: list[changes.Change] = []
    looks = 0
    while any(thread.is_alive() for thread in threads) or looks == 0:
        with database.read() as session:
            new = changes.since(session, len(followed), limit=7)
        assert [c.seq for c in new] == list(range(len(followed) + 1, len(followed) + 1 + len(new)))
        followed += new
        looks += 1
    with database.read() as session:
        followed += changes.since(session, len(followed), limit=1000)
        last, alive = changes.head(session).seq, items.ids_with(session)
    assert [c.seq for c in followed] == list(range(1, last + 1))
    assert last > writers
    stored = {c.item_id for c in followed if c.action == "stored"}
    deleted = {c.item_id for c in followed if c.action == "deleted"}
    assert deleted <= stored
    assert deleted == {name for names in ids.values() for name in names} - alive


def test_pruning_keeps_the_newest_and_the_count(database: Database, new_item: Callable[..., str]) -> None:
    for item_id in [new_item() for _ in range(4)]:
        with database.begin() as session:
            items.delete_item(session, item_id)
    with database.begin() as session:
        assert changes.prune(session, keep_s=60) == 0
        assert changes.prune(session, keep_s=-60) == 3
        assert [c.seq for c in changes.since(session, 0)] == [4]
        assert changes.head(session).seq == 4


def test_two_libraries_have_two_numbers(database: Database, tmp_path: object) -> None:
    other = Database(f"sqlite:///{tmp_path}/other.sqlite3")
    other.migrate()
    with database.read() as one, other.read() as two:
        assert changes.head(one).library != changes.head(two).library
    other.close()
