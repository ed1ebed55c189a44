"""A Milvus collection answers as HybridIndex does: same items, order, seconds and parts, at every λ."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mudar.errors import IndexUnavailable, OutOfRange
from mudar.index import milvus
from mudar.index.hybrid import HybridIndex
from mudar.index.milvus import Mark, Milvus, MilvusIndex
from mudar.index.results import SearchHit
from mudar.index.types import SearchRequest
from tests.answers import at

E, R = 12, 8
LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@pytest.fixture
def empty(engine: Milvus) -> Iterator[MilvusIndex]:
    index = MilvusIndex(engine, f"mudar_test_{uuid.uuid4().hex[:12]}", E, R)
    index.create()
    yield index
    with engine.client() as client:
        client.drop_collection(index.name)


def vectors(seed: int, count: int, size: int) -> np.ndarray:
    results = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return results / np.linalg.norm(results, axis=1, keepdims=True)


@dataclass
class Both:
    """The same rows in Milvus and in FAISS."""

    milvus: MilvusIndex
    faiss: HybridIndex

    def replace(self, *args: Any) -> None:
        self.milvus.replace(*args)
        self.faiss.replace(*args)
        self.milvus.count()

    def fill(self, segments_of: list[int], seed: int = 0, first_id: int = 1, prefix: str = "dance-") -> list[str]:
        names = [f"{prefix}{n:04x}" for n, count in enumerate(segments_of) for _ in range(count)]
        start_s = np.concatenate([4.0 * np.arange(count) for count in segments_of])
        ids = np.arange(first_id, first_id + len(names))
        self.replace((), ids, names, vectors(seed, len(names), E), vectors(seed + 1, len(names), R), start_s)
        return sorted(set(names))

    def agree(self, k: int = 10, seed: int = 5, segments: int = 3, **narrow: Any) -> list[SearchHit]:
        """The answer of both at the last λ, once they agreed at all."""
        queries = (vectors(seed, segments, E), vectors(seed + 1, segments, R))
        for lam in LAMBDAS:
            start_s = 4.0 * np.arange(segments)
            mine = self.milvus.search(*queries, lam, k, query_start_s=start_s, **narrow)
            theirs = self.faiss.search(*queries, lam, k, query_start_s=start_s, **narrow)
            assert [m.item_id for m in mine] == [m.item_id for m in theirs]
            np.testing.assert_allclose([m[1:] for m in mine], [m[1:] for m in theirs], atol=1e-6)
            for match in mine:
                hybrid = lam * match.embedding_score + (1 - lam) * match.rhythm_score
                assert match.score == pytest.approx(hybrid, abs=1e-9)
        return mine


@pytest.fixture
def both(empty: MilvusIndex) -> Both:
    return Both(empty, HybridIndex(E, R))


def test_the_same_answers_at_every_lambda_and_after_deletions(both: Both) -> None:
    names = both.fill([1 + n % 5 for n in range(120)])
    assert len(both.milvus) == len(both.faiss) == 360
    assert len(both.agree()) == 10
    both.replace(names[:60:2], [], [], np.zeros((0, E)), np.zeros((0, R)), [])
    assert not {match.item_id for match in both.agree(k=90)} & set(names[:60:2])
    # An item that was embedded again has new rows in the place of its old ones.
    both.replace(names[1:2], [5001, 5002], names[1:2] * 2, vectors(8, 2, E), vectors(9, 2, R), [0.0, 4.0])
    both.agree(k=100)
    assert len(both.milvus) == len(both.faiss)


def test_questions_asked_together_are_answered_as_alone(both: Both) -> None:
    both.fill([1, 2, 3, 4, 5] * 12)
    sizes, lams = (1, 4, 2), (0.0, 0.7, 1.0)
    queries = [SearchRequest(vectors(size, size, E), vectors(size + 9, size, R), np.arange(size)) for size in sizes]
    results = both.milvus.search_many(at(queries, lams, 7))
    for query, lam, matches in zip(queries, lams, results, strict=True):
        assert matches == both.milvus.search(query.embeddings, query.rhythms, lam, 7, query_start_s=query.start_s)
        assert len(matches) == 7
    places = [[(m.item_id, m.start_s, m.query_start_s) for m in matches] for matches in results]
    exact = both.faiss.search_many(at(queries, lams, 7))
    assert places == [[(m.item_id, m.start_s, m.query_start_s) for m in matches] for matches in exact]


def test_filters_lose_nothing(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    names = both.fill([2] * 60)
    allowed = names[::7]
    assert {match.item_id for match in both.agree(k=20, allow=allowed)} == set(allowed)
    monkeypatch.setattr(milvus, "_IDS_AT_ONCE", 4)  # a long list of ids is asked for in parts
    assert [m.item_id for m in both.agree(k=5, allow=allowed, exclude=allowed[:2])]
    assert both.agree(allow=[]) == []
    best = both.agree(k=1)[0].item_id
    assert best not in {match.item_id for match in both.agree(k=60, exclude=[best, "not-there"])}
    assert both.agree(allow=['x"] or id > 0 or item_id in ["y']) == []  # an id is an id


def test_items_with_very_many_segments_do_not_crowd_out_others(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "_FIRST_HITS", 4)
    both.fill([150, 3, 1, 90, 1])
    assert len(both.agree(k=5)) == 5  # lists of 40, then 160, then all
    monkeypatch.setattr(milvus, "_MOST_HITS", 16)  # no list is long enough: what is known is left out of the next
    assert len(both.agree(k=4)) == 4


def test_equal_scores_are_ordered_by_item_then_by_seconds(both: Both) -> None:
    one, other = np.tile(vectors(1, 1, E), (6, 1)), np.tile(vectors(2, 1, R), (6, 1))
    both.replace((), np.arange(1, 7), ["c", "a", "b", "a", "c", "b"], one, other, [4.0, 8.0, 0.0, 0.0, 0.0, 4.0])
    results = both.agree(k=3)
    assert [(match.item_id, match.start_s) for match in results] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]


def test_doing_a_change_twice_does_no_harm(both: Both) -> None:
    both.fill([2] * 10)
    both.milvus.replace(["dance-0001"], [101], ["dance-0001"], vectors(3, 1, E), vectors(4, 1, R), [0.0])
    both.replace(["dance-0001"], [101], ["dance-0001"], vectors(3, 1, E), vectors(4, 1, R), [0.0])
    both.agree()
    assert len(both.milvus) == len(both.faiss) == 19


def test_the_mark_is_kept_and_never_found(both: Both) -> None:
    assert both.milvus.mark() is None
    both.fill([1] * 3)
    both.milvus.set_mark(Mark(7, 1234.5678901))
    assert both.milvus.mark() == Mark(7, 1234.5678901)
    assert len(both.agree(k=50)) == 3
    both.milvus.count()
    assert len(both.milvus) == 3
    both.milvus.create(anew=True)
    assert both.milvus.mark() is None


def test_questions_out_of_range_are_refused(empty: MilvusIndex) -> None:
    queries = (vectors(0, 1, E), vectors(1, 1, R))
    for lam, k in ((1.1, 5), (float("nan"), 5), (0.5, 0)):
        with pytest.raises(OutOfRange):
            empty.search(*queries, lam, k)
    assert empty.search(*queries, 0.5, 3) == []


@pytest.mark.slow
def test_an_engine_that_is_away_is_said_to_be(free_address: str) -> None:
    away = MilvusIndex(Milvus(free_address), "mudar_nothing", E, R)
    calls: list[Callable[[], Any]] = [
        lambda: away.search(vectors(0, 1, E), vectors(1, 1, R), 0.5, 3),
        away.mark,
        away.create,
        away.engine.ping,
    ]
    for call in calls:
        with pytest.raises(IndexUnavailable, match="Milvus at http"):
            call()


@pytest.fixture
def free_address() -> str:
    """Where nobody answers."""
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}"
