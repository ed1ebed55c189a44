"""Searches segments at every λ: score = λ⟨E_q, E_x⟩ + (1−λ)⟨R_q, R_x⟩ (section 3.4 of the paper).

The score is one inner product of q = [λE_q ; (1−λ)R_q] with x = [E_x ; R_x], so one index of the concatenated rows
serves every λ without rebuilding, in both directions. Items are ranked by their best pair of segments.
While the index is `exact` its answers are those of the two matrices in float64, order and ties included; one that was
made `approximate` (mudar/index/builder.py) probes so many lists as the measured recall at this λ asks for.

What is searched is an IndexSnapshot, which never changes. Readers take the newest without a lock; writers take turns,
make the next one beside and swap the reference. Knows numpy and FAISS; no database, no torch, no files.

Shapes: N rows, S query segments, E embedding, R rhythm vector, D = E + R.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mudar.index.exact import ExactIndex, Selection
from mudar.index.ivf import IvfIndex
from mudar.index.ranking import MARGIN, Candidates, Hits, kth_item_score, rank
from mudar.index.results import SearchResults
from mudar.index.rows import RowTable
from mudar.index.tuning import ALL_ROWS, SearchParams
from mudar.index.types import Ints, Searchable, SearchRequest, Seconds, SegmentIds
from mudar.records import Array

ROWS_AN_ITEM = 8  # that are looked at in lists
_LEAST_DEPTH, _DEPTH_AN_ITEM, _MOST_DEPTH = 24, 3, 512  # rows that an exact search looks at first
_DEEPER = 8  # times as deep, when they are of too few items
_FEW_ROWS = 0.1  # of the rows in lists: so few allowed ones are all scored
_SCAN_DEPTH = 1000
_MOST_DEAD = 0.5  # of the rows
_SLACK = 2 * MARGIN
_LOWEST = -1e30
_LARGEST_SQUARED_NORM = 1.001


class State(NamedTuple):
    """What people may want to know of an index."""

    mode: str  # exact or approximate
    segments: int
    items: int
    lists: int
    params: dict[str, list[int]]  # λ: lists probed, rows scored again, by which index
    recall: dict[str, float]  # λ: measured share of the true first ten


@dataclass(frozen=True)
class IndexSnapshot:
    """An index at one moment: N rows, of which the first are in lists (`base`, if any) and the others in `exact`.

    generation: changes when rows get other numbers.
    """

    split: int
    table: RowTable
    exact: ExactIndex
    base: IvfIndex | None = None
    generation: int = 0

    @property
    def in_lists(self) -> int:
        """How many rows are in lists."""
        return 0 if self.base is None else len(self.base)

    def vectors(self, rows: Ints) -> Array:
        """Gives rows (n, D) by their numbers."""
        first = self.in_lists
        if self.base is None:
            return self.exact.vectors[rows]
        joined = np.empty((len(rows), self.exact.vectors.shape[1]), np.float32)
        listed = rows < first
        joined[listed], joined[~listed] = (
            self.base.vectors(rows[listed]),
            self.exact.vectors[rows[~listed] - first],
        )
        return joined

    def search(self, requests: Sequence[SearchRequest], params: SearchParams | None = None) -> list[SearchResults]:
        """Answers requests that share k and filters."""
        first, allowed = requests[0], self._allowed(requests[0])
        if not len(self.table) or (allowed is not None and not allowed.count):
            return [SearchResults() for _ in requests]
        if self.base is not None:
            return [self._approximate(self.base, request, allowed, params) for request in requests]
        vectors = [request.vectors() for request in requests]
        hits = self.exact.search(np.concatenate(vectors), _first_depth(first.k), allowed).split([*map(len, vectors)])
        return [self._certain(*each, allowed) for each in zip(requests, vectors, hits, strict=True)]

    def _certain(self, request: SearchRequest, queries: Array, hits: Hits, allowed: Selection | None) -> SearchResults:
        """Ranks what surely holds the k best items: the hits, or more where a missing row could be one of them."""
        depth, bar = _first_depth(request.k), -np.inf
        while len(queries):
            bar = self._bar(hits, request.k)
            if hits.floor.max() < max(bar, _LOWEST):
                break
            if bar > -np.inf:
                hits = self.exact.above(queries, bar, allowed)
                break
            depth *= _DEEPER
            hits = self.exact.search(queries, depth, allowed)
        return self._ranked(request, hits, bar)

    def _approximate(
        self, base: IvfIndex, request: SearchRequest, allowed: Selection | None, params: SearchParams | None
    ) -> SearchResults:
        """Ranks what the lists show; all rows in them when that is fewer than k items and no `params` are given."""
        queries, k, first = request.vectors(), request.k, len(base)
        filtered = allowed is not None and allowed is not self._alive
        share = float(allowed.rows[:first].mean()) if allowed is not None and filtered else 1.0
        beside = [self.exact.search(queries, ROWS_AN_ITEM * k, allowed, first)] if len(self.exact) else []
        tried = params or base.points.at(request.lam, k)
        if tried != ALL_ROWS and share >= _FEW_ROWS:
            wider = tried._replace(nprobe=int(tried.nprobe / share), refine_k=max(tried.refine_k, 16 * k))
            for count in (ROWS_AN_ITEM * k, wider.refine_k):
                hits = Hits.join([base.search(queries, count, wider, allowed), *beside])
                bar = self._bar(hits, k)
                if bar > -np.inf or (params and count == wider.refine_k):
                    return self._ranked(request, hits, bar)
        rows = np.arange(first) if allowed is None else np.flatnonzero(allowed.rows[:first])
        hits = Hits.join([base.scan(queries, max(_SCAN_DEPTH, 16 * k), rows), *beside])
        return self._ranked(request, hits, self._bar(hits, k))

    @cached_property
    def _alive(self) -> Selection | None:
        return Selection(self.table.alive) if self.table.dead else None

    def _allowed(self, request: SearchRequest) -> Selection | None:
        """Which rows may be found; None = all."""
        rows = self.table.allowed(request.exclude, request.allow)
        return self._alive if rows is None else Selection(rows)

    def _bar(self, hits: Hits, k: int) -> float:
        """What a pair must score to be of one of the k best items."""
        return kth_item_score(self.table.codes[hits.row], hits.score, k) - _SLACK

    def _ranked(self, request: SearchRequest, hits: Hits, bar: float) -> SearchResults:
        chosen, table = hits.score >= bar, self.table
        query, row = hits.query[chosen], hits.row[chosen]
        return rank(request, Candidates(query, row, table.codes[row], table.start_s[row], table.names), self.vectors)


class HybridIndex(Searchable):
    """Holds segments of many items. Safe to search from many threads while one changes it.

    >>> index = HybridIndex(embed_dim=2, rhythm_dim=1)
    >>> index.add([1, 2], ["a", "b"], np.eye(2), np.ones((2, 1)), [0.0, 0.0])
    >>> index.search(np.eye(2)[:1], np.ones((1, 1)), lam=0.5, k=2).item_ids
    ['a', 'b']
    """

    def __init__(self, embed_dim: int, rhythm_dim: int, snapshot: IndexSnapshot | None = None) -> None:
        self.embed_dim, self.rhythm_dim = embed_dim, rhythm_dim
        self._snapshot = snapshot or IndexSnapshot(embed_dim, RowTable(), ExactIndex.empty(embed_dim, rhythm_dim))
        self._writing = threading.Lock()

    def freeze(self) -> IndexSnapshot:
        """Gives what the index holds now; it never changes."""
        return self._snapshot

    def __len__(self) -> int:
        return self._snapshot.table.live

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._snapshot.table

    @property
    def approximate(self) -> bool:
        """Whether only some lists are probed."""
        return self._snapshot.base is not None

    @property
    def item_count(self) -> int:
        """How many items have at least one segment."""
        return len(self.item_ids())

    def item_ids(self) -> set[str]:
        """Lists the items that have at least one segment."""
        return self._snapshot.table.item_ids()

    def state(self) -> State:
        """Describes mode, sizes, search parameters and recall per λ."""
        base, segments, items = self._snapshot.base, len(self), self.item_count
        if base is None:
            return State("exact", segments, items, 0, {}, {})
        return State("approximate", segments, items, base.nlist, base.points.table(), base.points.recalls())

    def add(
        self, segment_ids: SegmentIds, item_ids: Sequence[str], embeddings: Array, rhythms: Array, start_s: Seconds
    ) -> None:
        """Adds N rows: embeddings (N, E), rhythms (N, R), seconds (N,).

        ValueError for a wrong shape, a number that is not finite, a norm above 1.
        """
        self.replace((), segment_ids, item_ids, embeddings, rhythms, start_s)

    def remove(self, item_id: str) -> None:
        """Forgets an item; one that is not there is no error."""
        none: Array = np.zeros((0, self.embed_dim + self.rhythm_dim), np.float32)
        self.replace([item_id], [], [], none[:, : self.embed_dim], none[:, self.embed_dim :], [])

    def replace(
        self, old_item_ids: Collection[str], segment_ids: SegmentIds, item_ids: Sequence[str],
        embeddings: Array, rhythms: Array, start_s: Seconds,
    ) -> None:  # fmt: skip
        """Forgets `old_item_ids` and adds rows as `add` does, so that no search sees one without the other."""
        parts = self._parts(embeddings, rhythms)
        rows = np.hstack(parts)
        if not len(rows) == len(segment_ids) == len(item_ids) == len(start_s):
            raise ValueError("the columns of these rows are not of one length")
        with self._writing:
            now = self._snapshot
            table = now.table.without(old_item_ids)
            if len(rows):
                table = table.appended(segment_ids, item_ids, start_s)
            now = replace(now, table=table, exact=now.exact.appended(rows) if len(rows) else now.exact)
            self._snapshot = self._compacted(now)

    def _compacted(self, now: IndexSnapshot) -> IndexSnapshot:
        """Drops the dead rows of an exact index when they are many."""
        table = now.table
        if now.base is not None or table.dead <= max(1024, _MOST_DEAD * len(table)):
            return now
        chosen = np.flatnonzero(table.alive)
        exact = ExactIndex.empty(self.embed_dim, self.rhythm_dim).appended(now.exact.vectors[chosen])
        return IndexSnapshot(self.embed_dim, table.compacted(chosen), exact, None, now.generation + 1)

    def swap_exact(self, before: IndexSnapshot, exact: ExactIndex) -> bool:
        """Takes an accelerated copy of `before.exact`, unless rows got other numbers; says whether it did."""
        with self._writing:
            now = self._snapshot
            if now.generation != before.generation:
                return False
            taken = replace(now.exact, accelerated=exact.accelerated, tried_rows=exact.tried_rows)
            self._snapshot = replace(now, exact=taken)
            return True

    def swap_base(self, before: IndexSnapshot, base: IvfIndex, chosen: Ints) -> bool:
        """Takes lists that hold the rows `chosen` of `before`, and all that was added since beside them.

        Says whether it did: not when rows got other numbers meanwhile.
        """
        with self._writing:
            now, count = self._snapshot, len(before.table)
            if now.generation != before.generation:
                return False
            table = now.table.compacted(np.concatenate([chosen, np.arange(count, len(now.table))]))
            rest = now.exact.vectors[count - now.in_lists :]
            exact = ExactIndex.empty(self.embed_dim, self.rhythm_dim).appended(rest)
            self._snapshot = IndexSnapshot(self.embed_dim, table, exact, base, now.generation + 1)
            return True

    def search_alike(
        self, requests: Sequence[SearchRequest], params: SearchParams | None = None
    ) -> list[SearchResults]:
        """Answers requests that share k and filters; `params`: how hard to try in lists, if not as measured."""
        return self._snapshot.search([self._checked(request) for request in requests], params)

    def _checked(self, request: SearchRequest) -> SearchRequest:
        embeddings, rhythms = self._parts(request.embeddings, request.rhythms)
        if not len(embeddings) == len(rhythms) == len(request.start_s):
            raise ValueError("the columns of these segments are not of one length")
        return replace(request, embeddings=embeddings, rhythms=rhythms)

    def _parts(self, embeddings: Array, rhythms: Array) -> tuple[Array, Array]:
        parts = np.ascontiguousarray(embeddings, np.float32), np.ascontiguousarray(rhythms, np.float32)
        if (parts[0].shape[1:], parts[1].shape[1:]) != ((self.embed_dim,), (self.rhythm_dim,)):
            raise ValueError(f"vectors of {self.embed_dim} + {self.rhythm_dim} numbers are wanted")
        for part in parts:
            # Written so that NaN fails it too; the margins of the exact ranking rest on norms of at most 1.
            if not (np.einsum("nd,nd->n", part, part) <= _LARGEST_SQUARED_NORM).all():
                raise ValueError("vectors must be finite and of norm 1 at most")
        return parts


def _first_depth(k: int) -> int:
    """How many rows hold k items, mostly, and surely some rows below them."""
    return max(_LEAST_DEPTH, min(_DEPTH_AN_ITEM * k, max(_MOST_DEPTH, k + 1)))
