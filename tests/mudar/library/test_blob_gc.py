"""Only what nobody needs is removed, and only when it is old."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from mudar.library import items, jobs
from mudar.library import tables as t
from mudar.library.blob_gc import collect_garbage
from mudar.library.blobs import BlobStore
from mudar.library.db import Database


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "blobs")


def grow_old(database: Database, store: BlobStore) -> None:
    """Let two hours pass for every file and row."""
    for path in store.root.glob("??/??/*"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    with database.begin() as session:
        session.execute(t.blobs.update().values(held_at=t.blobs.c.held_at - 7200))


def test_what_items_and_jobs_name_stays_and_the_rest_goes_when_it_is_old(database: Database, store: BlobStore) -> None:
    shas = {name: store.put_stream([name.encode()]).sha256 for name in ("item", "sent", "made", "lost", "young")}
    with database.begin() as session:
        item_id = items.create_item(session, items.NewItem(shas["item"], "dance"))["id"]
        job_id = jobs.create_job(session, jobs.JobSpec("retarget", {}, blobs={"dance": shas["sent"]}))["id"]
        claim = jobs.claim(session, job_id, "worker")
        assert claim is not None
        done = jobs.finish(session, job_id, claim.token, {}, blobs={"video": shas["made"]})
    assert done["blobs"] == {"dance": shas["sent"], "video": shas["made"]}
    assert collect_garbage(database, store) == []
    grow_old(database, store)
    store.put_stream([b"young"])  # brought again: young again
    assert collect_garbage(database, store) == [shas["lost"]]
    with database.begin() as session:
        items.delete_item(session, item_id)
    assert collect_garbage(database, store) == [shas["item"]]
    with database.begin() as session:
        assert jobs.forget_jobs(session, -60) == 1
    assert set(collect_garbage(database, store)) == {shas["sent"], shas["made"]}
    assert store.has(shas["young"])


def test_uploads_beside_the_collector_keep_their_files(database: Database, store: BlobStore) -> None:
    """The same old bytes are uploaded, named and deleted again and again while garbage is collected."""
    over = threading.Event()

    def clean() -> None:
        while not over.is_set():
            collect_garbage(database, store, grace_s=0.5)

    sha256 = store.put_stream([b"again"]).sha256
    collector = threading.Thread(target=clean)
    collector.start()
    try:
        for _ in range(15):
            grow_old(database, store)
            store.put_stream([b"again"])
            with database.begin() as session:
                item_id = items.create_item(session, items.NewItem(sha256, "dance"))["id"]
            assert store.path(sha256).read_bytes() == b"again"
            with database.begin() as session:
                items.delete_item(session, item_id)
    finally:
        over.set()
        collector.join()
