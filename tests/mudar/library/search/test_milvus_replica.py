"""Milvus is kept equal to the library: by one follower, by several, and whatever is lost on either side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudar.errors import IndexUnavailable
from mudar.index.milvus import Milvus
from mudar.index.types import SearchRequest
from mudar.library import analyses, items
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.milvus_replica import MilvusReplica
from mudar.library.search.search import Filters, SearchResult, search, stack_segments
from mudar.records import Kind, Segment

DIMS = (6, 4)  # conftest's vectors


@pytest.fixture
def follow(database: Database, engine: Milvus) -> Iterator[Callable[..., MilvusReplica]]:
    """Makes followers of this library; its collections go when the test ends."""
    made: list[MilvusReplica] = []

    def make(**kw: Any) -> MilvusReplica:
        made.append(MilvusReplica(database, "m@1", *DIMS, engine, **kw))
        return made[-1]

    yield make
    for follower in made:
        follower.stop()
    with engine.client() as client:
        for kind in ("dance", "music"):
            client.drop_collection(made[0].index(kind).name)


@pytest.fixture
def put(database: Database, new_item: Callable[..., str], analysis: Callable[..., Any]) -> Callable[..., str]:
    """Makes items with an analysis of their own."""
    count = iter(range(10**6))

    def make(kind: Kind = "dance", **kw: Any) -> str:
        item_id = new_item(kind, **kw)
        with database.begin() as session:
            analyses.store_analysis(session, item_id, "m@1", analysis(next(count), kind, 1 + len(item_id) % 3))
        return item_id

    return make


def delete(database: Database, item_id: str) -> None:
    with database.begin() as session:
        items.delete_item(session, item_id)


def agree(database: Database, follower: MilvusReplica, faiss: IndexReplica) -> list[SearchResult]:
    """The results of both, filters included, once they agreed at all λ; those of λ = 1 without a filter."""
    rng = np.random.default_rng(3)

    def unit(size: int) -> np.ndarray:
        vector = rng.normal(size=size).astype(np.float32)
        return vector / np.linalg.norm(vector)

    segments = [Segment(4.0 * n, 4.0 * n + 8, unit(6), unit(4)) for n in range(2)]
    results: list[SearchResult] = []
    for lam in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        for filters in (Filters(labels=["x"]), Filters(tempo_bpm=(100, 200), duration_s=(0, 100)), Filters()):
            with database.read() as session:
                allow = filters.allowed(session, "dance", "m@1")
            request = SearchRequest(**stack_segments(segments), lam=lam, k=50, allow=allow)
            results, other = (search(database, backend, "dance", request) for backend in (follower, faiss))
            assert [result.id for result in results] == [result.id for result in other]
            for mine, theirs in zip(results, other, strict=True):
                for name, value in vars(theirs).items():
                    assert getattr(mine, name) == (
                        pytest.approx(value, abs=1e-6) if isinstance(value, float) else value
                    )
    return results


def test_it_answers_as_the_index_in_memory_does(
    database: Database, follow: Callable[..., MilvusReplica], put: Callable[..., str], tmp_path: Path
) -> None:
    faiss = IndexReplica(database, "m@1", *DIMS, tmp_path)
    follower = follow()
    ids = [put(labels=["x"] if n % 2 else []) for n in range(8)] + [put("music")]
    assert len(agree(database, follower, faiss)) == 8
    delete(database, ids[0])
    ids.append(put())
    assert {result.id for result in agree(database, follower, faiss)} == {*ids[1:8], ids[9]}
    assert len(follower.index("music")) == len(faiss.index("music"))
    again = follow()  # another process, or this one after a restart
    assert agree(database, again, faiss) == agree(database, follower, faiss)
    assert (len(follower.rebuilds), again.rebuilds) == (1, [])


def test_what_was_lost_on_either_side_is_seen(
    database: Database, engine: Milvus, follow: Callable[..., MilvusReplica], put: Callable[..., str], tmp_path: Path
) -> None:
    faiss = IndexReplica(database, "m@1", *DIMS, tmp_path)
    put(), put()
    follow().open()
    with engine.client() as client:
        client.drop_collection(follow().index("music").name)
    emptied = follow()
    agree(database, emptied, faiss)
    assert emptied.rebuilds == ["there is nothing usable"]
    with database.begin() as session:  # a backup from before the last change, and another life since
        session.exec_driver_sql("UPDATE changes SET at = at + 1 WHERE seq = 2")
        session.exec_driver_sql("DELETE FROM counters WHERE name LIKE 'milvus%%'")
    set_back = follow()
    set_back.open()
    assert set_back.rebuilds == ["the log is not the one that was followed"]


def test_many_that_write_and_follow_at_once_lose_and_resurrect_nothing(
    database: Database, follow: Callable[..., MilvusReplica], put: Callable[..., str], tmp_path: Path
) -> None:
    followers = [follow(poll_s=0.02) for _ in range(3)]
    for follower in followers:
        follower.start()
    gone: list[str] = []

    def work() -> None:
        for _ in range(4):
            item_id = put()
            if len(gone) < 4:
                gone.append(item_id)
                delete(database, item_id)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faiss = IndexReplica(database, "m@1", *DIMS, tmp_path)
    for follower in followers:
        item_ids = {result.id for result in agree(database, follower, faiss)}
        assert not item_ids & set(gone)
    assert len(followers[0].index("dance")) == len(faiss.index("dance"))


@pytest.mark.slow
def test_an_engine_that_is_away_does_not_stop_the_follower_or_the_library(
    database: Database, put: Callable[..., str]
) -> None:
    follower = MilvusReplica(database, "m@1", *DIMS, Milvus("http://127.0.0.1:9"), poll_s=0.05)
    follower.start()
    put()
    with pytest.raises(IndexUnavailable):
        follower.catch_up()
    with pytest.raises(IndexUnavailable):
        follower.index("dance")
    follower.stop()
