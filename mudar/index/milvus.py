"""One kind's segments in a Milvus collection, searched as HybridIndex is, with the same answers.

The collection has one FLOAT_VECTOR field with the rows [E ; R] and the metric IP, so one index serves every λ: the
query is [λE ; (1−λ)R]. (Milvus's own hybrid search fuses two lists by their ranks or normalised scores and misses a
tenth of the true answers and more: docs/experiments/SCALING.md.) What Milvus finds is scored again in float64.
A row with id 0 says up to which change of the library the collection is filled: milvus_replica.py writes it.

Knows pymilvus and numpy; no database, no web. Every trouble with the engine is IndexUnavailable.
Shapes: S query segments; N rows; E embedding; R rhythm vector; D = E + R.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from mudar.errors import IndexUnavailable
from mudar.index.ranking import MARGIN, Candidates, kth_item_score, rank
from mudar.index.results import SearchResults
from mudar.index.types import Ints, Searchable, SearchRequest, Seconds, SegmentIds
from mudar.records import Array

TIMEOUT_S = 10.0
AT_ONCE_S = 1.0
ENGINES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # how an index is built, how it is searched
    "FLAT": ({}, {}),
    "IVF_FLAT": ({"nlist": 1024}, {"nprobe": 64}),
    "HNSW": ({"M": 24, "efConstruction": 200}, {"ef": 512}),
    "DISKANN": ({}, {"search_list": 512}),
}
_MOST_HITS = 16_384  # Milvus gives no longer list
_FIRST_HITS = 128
_IDS_AT_ONCE = 10_000
_ROWS_AT_ONCE = 2_000
_MARK = 0


class Mark(NamedTuple):
    """Up to which change of the library a collection is filled, and when that was."""

    seq: int
    at: float


class Hits(NamedTuple):
    """P rows that a search with one query segment found: their ids, items, seconds and scores."""

    segment: int
    segment_id: Ints
    item_id: list[str]
    start_s: Array
    score: Array


class Milvus:
    """One engine; connects when first used, and again when it was away. Safe for several threads."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url, self._token = url, token
        self._client: Any = None
        self._lock = threading.Lock()

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The client; IndexUnavailable when the engine does not answer or refuses."""
        try:
            from pymilvus import MilvusClient
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise IndexUnavailable("MUDAR_INDEX_URL needs pymilvus.", hint="pip install 'mudar[milvus]'") from error
        try:
            with self._lock:
                if self._client is None:
                    self._client = self._connected(MilvusClient, MilvusException)
            yield self._client
        except (MilvusException, OSError, ValueError) as error:
            raise IndexUnavailable(f"Milvus at {self.url} does not answer as it should: {_brief(error)}") from error

    def _connected(self, make: Any, refused: type[Exception]) -> Any:
        """A client; an engine that refuses at once (busy, or just restarting) is asked once more."""
        began = time.monotonic()
        try:
            return make(self.url, token=self._token, timeout=TIMEOUT_S)
        except refused:
            if time.monotonic() - began > AT_ONCE_S:
                raise
        time.sleep(AT_ONCE_S)
        return make(self.url, token=self._token, timeout=TIMEOUT_S)

    def ping(self) -> str:
        """Its version. IndexUnavailable."""
        with self.client() as client:
            return f"Milvus {client.get_server_version(timeout=TIMEOUT_S)}"

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


class MilvusIndex(Searchable):
    """The segments of one model and kind. `fresh`: whether searches must wait for what was written just now."""

    def __init__(self, engine: Milvus, name: str, embed_dim: int, rhythm_dim: int, index_type: str = "FLAT") -> None:
        self.engine, self.name, self._type = engine, name, index_type
        self._split, self._dim = embed_dim, embed_dim + rhythm_dim
        self._count = 0
        self.fresh = True

    def __len__(self) -> int:
        return self._count

    def create(self, *, anew: bool = False) -> None:
        """Make the collection if it is not there, or, `anew`, in place of the one that is."""
        from pymilvus import DataType

        with self.engine.client() as client:
            if anew and client.has_collection(self.name, timeout=TIMEOUT_S):
                client.drop_collection(self.name, timeout=TIMEOUT_S)
            if client.has_collection(self.name, timeout=TIMEOUT_S):
                client.load_collection(self.name, timeout=TIMEOUT_S)
                return
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("item_id", DataType.VARCHAR, max_length=64)
            schema.add_field("start_s", DataType.DOUBLE)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
            index = client.prepare_index_params()
            build, _ = ENGINES[self._type]
            index.add_index("vector", index_type=self._type, metric_type="IP", params=build)
            client.create_collection(
                self.name, schema=schema, index_params=index, consistency_level="Bounded", timeout=6 * TIMEOUT_S
            )

    def mark(self) -> Mark | None:
        """What the collection is filled up to; None when there is no collection, or it was never filled."""
        with self.engine.client() as client:
            if not client.has_collection(self.name, timeout=TIMEOUT_S):
                return None
            client.load_collection(self.name, timeout=TIMEOUT_S)
            answer_rows = client.get(
                self.name, [_MARK], output_fields=["item_id"], consistency_level="Strong", timeout=TIMEOUT_S
            )
        return Mark(*json.loads(answer_rows[0]["item_id"])) if answer_rows else None

    def set_mark(self, mark: Mark) -> None:
        """Say what the collection is filled up to, after it was."""
        with self.engine.client() as client:
            row = {"id": _MARK, "item_id": json.dumps(mark), "start_s": 0.0, "vector": [0.0] * self._dim}
            client.upsert(self.name, [row], timeout=TIMEOUT_S)

    def count(self) -> None:
        """Look how many segments there are."""
        with self.engine.client() as client:
            answer_rows = client.query(
                self.name, filter=f"id > {_MARK}", output_fields=["count(*)"], consistency_level="Strong",
                timeout=TIMEOUT_S,
            )  # fmt: skip
        self._count = int(answer_rows[0]["count(*)"])

    def replace(
        self, old_item_ids: Collection[str], segment_ids: SegmentIds, item_ids: Sequence[str],
        embeddings: Array, rhythms: Array, start_s: Seconds,
    ) -> None:  # fmt: skip
        """Put rows in the place of all that `old_item_ids` had; doing it twice does no harm."""
        rows = np.hstack([embeddings, rhythms]).astype(np.float32)
        columns = zip(np.asarray(segment_ids).tolist(), item_ids, np.asarray(start_s).tolist(), rows, strict=True)
        data = [{"id": i, "item_id": item, "start_s": s, "vector": row} for i, item, s, row in columns]
        with self.engine.client() as client:
            for first in range(0, len(data), _ROWS_AT_ONCE):
                client.upsert(self.name, data[first : first + _ROWS_AT_ONCE], timeout=6 * TIMEOUT_S)
            if old_item_ids:
                others = f" and id not in {[row['id'] for row in data]}" if data else ""
                client.delete(self.name, filter=f"item_id in {_words(old_item_ids)}{others}", timeout=TIMEOUT_S)

    def search_alike(self, requests: Sequence[SearchRequest]) -> list[SearchResults]:
        """Answers requests that share k and filters in one request to Milvus. IndexUnavailable."""
        ends, first = np.cumsum([0, *(len(request.embeddings) for request in requests)]), requests[0]
        queries = np.concatenate([request.vectors() for request in requests])
        filters = _filters(first.exclude, first.allow)
        lists = [hits for where in filters for hits in self._lists(queries, where, first.k)]
        return [
            self._ranked(request, [hits for hits in lists if start <= hits.segment < stop], start)
            for request, start, stop in zip(requests, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]

    def _lists(self, q: Array, where: str, k: int) -> Iterator[Hits]:
        """For each query segment a list that surely holds its k best items (an item that is among the k best of all
        is among those of the segment that it matches best)."""
        todo, depth = np.arange(len(q)), min(max(_FIRST_HITS, 8 * k), _MOST_HITS)
        while len(todo):
            answers = self._ask(q[todo], todo, where, depth)
            short = []
            for segment, hits in zip(todo, answers, strict=True):
                if _enough(hits, depth, k):
                    yield hits
                else:
                    short.append(segment)
            if depth == _MOST_HITS:
                for segment in short:
                    yield from self._by_exclusion(q, int(segment), where, k)
                return
            todo, depth = np.array(short, np.int64), min(4 * depth, _MOST_HITS)

    def _by_exclusion(self, q: Array, segment: int, where: str, k: int) -> Iterator[Hits]:
        """Items with more segments than Milvus gives in a list: once known, they are left out of the next one."""
        items: set[str] = set()
        while len(items) < k:
            narrowed = f"{where} and item_id not in {_words(items)}" if items else where
            (hits,) = self._ask(q[[segment]], np.array([segment]), narrowed, _MOST_HITS)
            yield hits
            items.update(hits.item_id)
            if len(hits.item_id) < _MOST_HITS:
                return

    def _ask(self, q: Array, segments: Ints, where: str, depth: int) -> list[Hits]:
        _, how = ENGINES[self._type]
        with self.engine.client() as client:
            answers = client.search(
                self.name, data=list(q), anns_field="vector", limit=depth, filter=where,
                output_fields=["item_id", "start_s"],
                search_params={"metric_type": "IP", "params": _at_depth(how, depth)},
                consistency_level=self._level, timeout=TIMEOUT_S,
            )  # fmt: skip
        return [_hits(int(segment), answer) for segment, answer in zip(segments, answers, strict=True)]

    @property
    def _level(self) -> str:
        return "Strong" if self.fresh else "Bounded"

    def _ranked(self, request: SearchRequest, answer_rows: Sequence[Hits], first: int) -> SearchResults:
        """Ranks the items of one request, whose segments are numbered from `first`, from lists that hold the best."""
        if not any(len(hits.score) for hits in answer_rows):
            return SearchResults()
        query = np.repeat([hits.segment - first for hits in answer_rows], [len(hits.score) for hits in answer_rows])
        ids, start_s, score = (
            np.concatenate([getattr(hits, name) for hits in answer_rows]) for name in ("segment_id", "start_s", "score")
        )
        names, code = np.unique([name for hits in answer_rows for name in hits.item_id], return_inverse=True)
        chosen = np.flatnonzero(score >= kth_item_score(code, score, request.k) - 2 * MARGIN)
        known, row = np.unique(ids[chosen], return_inverse=True)
        vectors, there = self._vectors(known)
        chosen, row = chosen[there[row]], row[there[row]]  # a row may have gone between the two calls
        pairs = Candidates(query[chosen], row, code[chosen], start_s[chosen], names.tolist())
        return rank(request, pairs, vectors.__getitem__)

    def _vectors(self, ids: Ints) -> tuple[Array, Any]:
        """(N, D) vectors of these rows, and (N,) whether each is there."""
        vectors, there = np.zeros((len(ids), self._dim), np.float32), np.zeros(len(ids), bool)
        with self.engine.client() as client:
            for first in range(0, len(ids), _ROWS_AT_ONCE):
                part = ids[first : first + _ROWS_AT_ONCE].tolist()
                rows = client.get(
                    self.name, part, output_fields=["vector"], consistency_level=self._level, timeout=TIMEOUT_S
                )
                for row in rows:
                    at = int(np.searchsorted(ids, row["id"]))
                    vectors[at], there[at] = row["vector"], True
        return vectors, there


def _enough(hits: Hits, depth: int, k: int) -> bool:
    """Whether a list shows k items and reaches surely below the last of them, or is all there is."""
    if len(hits.score) < depth:
        return True
    first = np.sort(np.unique(np.array(hits.item_id), return_index=True)[1])
    return len(first) >= k and bool(hits.score[-1] < hits.score[first[k - 1]] - 2 * MARGIN)


def _hits(segment: int, answer: Any) -> Hits:
    return Hits(
        segment,
        np.array([hit["id"] for hit in answer], np.int64),
        [hit["entity"]["item_id"] for hit in answer],
        np.array([hit["entity"]["start_s"] for hit in answer], np.float32),
        np.array([hit["distance"] for hit in answer], np.float32),
    )


def _filters(exclude: Collection[str], allow: Collection[str] | None) -> Iterator[str]:
    """Expressions that together let through what may be found, each once."""
    if allow is None:
        yield f"id > {_MARK}" + (f" and item_id not in {_words(exclude)}" if exclude else "")
        return
    passing = sorted(set(allow) - set(exclude))
    for first in range(0, len(passing), _IDS_AT_ONCE):
        yield f"item_id in {_words(passing[first : first + _IDS_AT_ONCE])}"


def _words(ids: Collection[str]) -> str:
    """A list of an expression; what a caller calls an id cannot break out of it."""
    return json.dumps(sorted(ids))


def _at_depth(how: dict[str, Any], depth: int) -> dict[str, Any]:
    """A graph must be followed at least as far as the list is long."""
    return {name: max(value, depth) if name in ("ef", "search_list") else value for name, value in how.items()}


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
