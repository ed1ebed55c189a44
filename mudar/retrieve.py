"""Hybrid retrieval, exact at every λ: score = λ⟨E_q, E_x⟩ + (1−λ)⟨R_q, R_x⟩ (section 3.4 of the paper).

The score is one inner product of q = [λE_q ; (1−λ)R_q] with x = [E_x ; R_x], so one FAISS index of the concatenated
rows serves every λ without rebuilding, in both directions. Items are ranked by their best pair of segments.
Knows numpy and FAISS; no database, no torch, no files (index_store.py writes snapshots).

Shapes: N rows, S query segments, E embedding, R rhythm vector, D = E + R, P pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.errors import OutOfRange
from mudar.locks import ManyReadersOneWriter
from mudar.records import Array

# FAISS hands batches above this size to BLAS; its default of 20 makes batches several times slower here.
faiss.cvar.distance_compute_blas_threshold = 2000

# FAISS sums in float32: two scores closer than this are told apart by float64 sums of the same pairs.
MARGIN = 2e-5
TIE_DIGITS = 9  # scores equal to this many digits are equal
_MAX_PAIRS = 1 << 20  # beyond this, a scan is cheaper than a list
_BLOCK_ROWS = 4096
_FROZEN_ROWS = 16_384

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Match:
    """An item, its score, the two parts of it, and the seconds of the two segments that match best."""

    item_id: str
    score: float
    embedding_score: float
    rhythm_score: float
    start_s: float
    query_start_s: float


@dataclass(frozen=True)
class Query:
    """S segments of what is searched with: embeddings (S, E), rhythms (S, R), start_s (S,)."""

    embeddings: Array
    rhythms: Array
    start_s: Array

    def rows(self, lam: float) -> Array:
        """q = [λE ; (1−λ)R], (S, D) float32."""
        return np.hstack([lam * self.embeddings, (1 - lam) * self.rhythms]).astype(np.float32)


@dataclass(frozen=True)
class _Pairs:
    """P pairs of a query segment and a row, scored in float64; scores and its two parts are (P,)."""

    query: Ints
    row: Ints
    score: Doubles
    embedding: Doubles
    rhythm: Doubles

    def take(self, chosen: Any) -> _Pairs:
        return _Pairs(*(values[chosen] for values in vars(self).values()))


class Moved(Exception):
    """Rows were removed while a snapshot of the index was read."""


@dataclass(frozen=True)
class Frozen:
    """An index at one moment: item ids by code, and (N,) columns. Its vectors are read bit by bit, beside searches."""

    index: HybridIndex
    names: list[str]
    codes: NDArray[np.int32]
    segment_ids: Ints
    start_s: Array
    vectors: Array | None
    moves: int

    def blocks(self) -> Iterator[Array]:
        """The vectors, some rows at a time. Rows added since do no harm; Moved if rows were removed since."""
        for start in range(0, len(self.codes), _FROZEN_ROWS):
            rows = slice(start, min(start + _FROZEN_ROWS, len(self.codes)))
            yield self.vectors[rows] if self.vectors is not None else self.index._block(rows, self.moves)


class HybridIndex:
    """Segments of many items, searched exactly. Safe to search from many threads while one changes it."""

    def __init__(self, embed_dim: int, rhythm_dim: int) -> None:
        self.embed_dim, self.rhythm_dim = embed_dim, rhythm_dim
        self._flat = faiss.IndexFlatIP(embed_dim + rhythm_dim)
        self._segment_ids = np.zeros(0, np.int64)  # these three grow by doubling; the first `len(self)` rows count
        self._codes = np.zeros(0, np.int32)
        self._start_s = np.zeros(0, np.float32)
        self._names: list[str] = []  # code → item id
        self._code_of: dict[str, int] = {}
        self._moves = 0  # how often rows changed their places
        self._lock = ManyReadersOneWriter()

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    @property
    def item_count(self) -> int:
        """How many items have at least one segment."""
        return len(self._code_of)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._code_of

    def item_ids(self) -> set[str]:
        """The items that have at least one segment."""
        with self._lock.read():
            return set(self._code_of)

    def add(
        self,
        segment_ids: Sequence[int] | Ints,
        item_ids: Sequence[str],
        embeddings: Array,
        rhythms: Array,
        start_s: Sequence[float] | Array,
    ) -> None:
        """Add N rows: embeddings (N, E), rhythms (N, R), seconds (N,).

        ValueError for a wrong shape, a number that is not finite, a norm above 1.
        """
        self.replace((), segment_ids, item_ids, embeddings, rhythms, start_s)

    def remove(self, item_id: str) -> None:
        """Forget an item; one that is not there is no error."""
        with self._lock.write():
            self._remove({item_id})

    def replace(
        self,
        old_item_ids: Collection[str],
        segment_ids: Sequence[int] | Ints,
        item_ids: Sequence[str],
        embeddings: Array,
        rhythms: Array,
        start_s: Sequence[float] | Array,
    ) -> None:
        """Forget `old_item_ids` and add rows as `add` does, so that no search sees one without the other."""
        rows = self._checked(embeddings, rhythms)
        if not len(rows) == len(segment_ids) == len(item_ids) == len(start_s):
            raise ValueError("the columns of these rows are not of one length")
        with self._lock.write():
            self._remove(set(old_item_ids))
            count, total = len(self), len(self) + len(rows)
            self._reserve(total)
            self._segment_ids[count:total] = segment_ids
            self._start_s[count:total] = start_s
            self._codes[count:total] = [self._code(item_id) for item_id in item_ids]
            self._flat.add(rows)

    def search(
        self,
        embeddings: Array,
        rhythms: Array,
        lam: float,
        k: int,
        *,
        query_start_s: Sequence[float] | Array | None = None,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
    ) -> list[Match]:
        """The k best items for S query segments, embeddings (S, E) and rhythms (S, R), by their best pair.

        Exact whatever λ, `exclude` and `allow` (item ids) are; equal scores are ordered by item id.
        Fewer than k only when there are no more items. OutOfRange for λ outside 0..1 or k < 1.
        """
        if not 0.0 <= lam <= 1.0:
            raise OutOfRange(f"lambda is {lam}; it must lie in 0..1")
        if k < 1:
            raise OutOfRange(f"k is {k}; it must be at least 1")
        self._checked(embeddings, rhythms)
        starts = np.asarray([0.0] * len(embeddings) if query_start_s is None else query_start_s, np.float32)
        query = Query(np.asarray(embeddings, np.float32), np.asarray(rhythms, np.float32), starts)
        with self._lock.read():
            rows_in = self._rows_in(exclude, allow)
            if not rows_in.any() or not len(embeddings):
                return []
            return self._ranked(query, lam, k, rows_in)

    def freeze(self, *, copy: bool = False) -> Frozen:
        """What the index holds now, for a snapshot: small columns are copied, vectors only if `copy`."""
        with self._lock.read():
            n = len(self)
            columns = (self._codes[:n].copy(), self._segment_ids[:n].copy(), self._start_s[:n].copy())
            vectors = self._vectors().copy() if copy else None
            return Frozen(self, list(self._names), *columns, vectors, self._moves)

    def _ranked(self, query: Query, lam: float, k: int, rows_in: NDArray[np.bool_]) -> list[Match]:
        """Deepen FAISS's list until the k-th item surely beats all that the list does not show."""
        q = query.rows(lam)
        allowed = int(rows_in.sum())
        params = None
        if allowed < len(rows_in):
            bits = np.packbits(rows_in, bitorder="little")
            params = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg, arg-type]
        depth = min(allowed, max(64, 4 * k))
        while depth * len(q) <= _MAX_PAIRS or depth <= _BLOCK_ROWS:
            scores, rows = self._flat.search(q, depth, params=params)  # (S, depth)
            matches = self._best(query, lam, k, *self._contenders(scores, rows, k))
            unseen = -np.inf if depth == allowed else float(scores[:, -1].max()) + MARGIN
            if unseen == -np.inf or (len(matches) == k and matches[-1].score > unseen):
                return matches
            depth = min(allowed, depth * 4)
        return self._scan(query, lam, k, np.flatnonzero(rows_in))

    def _contenders(self, scores: Array, rows: Ints, k: int) -> tuple[Ints, Ints]:
        """Of the pairs in FAISS's list, those that may be the best of one of the k best items: query, row (P,)."""
        flat_rows, flat_scores = rows.ravel(), scores.ravel()
        codes = self._codes[flat_rows]
        best = np.full(len(self._names), -np.inf, np.float32)
        np.maximum.at(best, codes, flat_scores)
        seen = best[best > -np.inf]
        kth = np.partition(seen, len(seen) - k)[len(seen) - k] if len(seen) > k else -np.inf
        chosen = (flat_scores >= best[codes] - MARGIN) & (best[codes] >= kth - MARGIN)
        return np.flatnonzero(chosen) // rows.shape[1], flat_rows[chosen]

    def _scan(self, query: Query, lam: float, k: int, rows: Ints) -> list[Match]:
        """Every pair in float64, block by block: for queries with so many near ties that a list would not end."""
        by_time = np.argsort(query.start_s, kind="stable")  # so that the first of equal scores is the earliest
        q = np.hstack([lam * query.embeddings.astype(np.float64), (1 - lam) * query.rhythms.astype(np.float64)])
        vectors, best_rows, best_queries = self._vectors(), [], []
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            scores = np.round(q[by_time] @ vectors[block].T.astype(np.float64), TIE_DIGITS)  # (S, block)
            queries = by_time[scores.argmax(axis=0)]
            best = self._best_pairs(query, self._scored(query, lam, queries, block), k)
            best_rows.append(best.row)
            best_queries.append(best.query)
        return self._best(query, lam, k, np.concatenate(best_queries), np.concatenate(best_rows))

    def _best(self, query: Query, lam: float, k: int, queries: Ints, rows: Ints) -> list[Match]:
        return self._matches(query, self._best_pairs(query, self._scored(query, lam, queries, rows), k))

    def _scored(self, query: Query, lam: float, queries: Ints, rows: Ints) -> _Pairs:
        """The pairs with float64 scores; each pair's sum depends on nothing but the pair."""
        embedding, rhythm = np.empty(len(rows)), np.empty(len(rows))
        vectors, split = self._vectors(), self.embed_dim
        for start in range(0, len(rows), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            x, of = vectors[rows[part]].astype(np.float64), queries[part]
            embedding[part] = np.einsum("pd,pd->p", query.embeddings[of].astype(np.float64), x[:, :split])
            rhythm[part] = np.einsum("pd,pd->p", query.rhythms[of].astype(np.float64), x[:, split:])
        return _Pairs(queries, rows, lam * embedding + (1 - lam) * rhythm, embedding, rhythm)

    def _best_pairs(self, query: Query, pairs: _Pairs, k: int) -> _Pairs:
        """Of each item its best pair, of those the k best; ties by item id, then by the earlier seconds."""
        codes = self._codes[pairs.row]
        names, place = np.unique(codes, return_inverse=True)
        by_name = np.argsort(np.argsort(np.array([self._names[code] for code in names], dtype=object), kind="stable"))
        name_rank, score = by_name[place], -np.round(pairs.score, TIE_DIGITS)
        order = np.lexsort((self._start_s[pairs.row], query.start_s[pairs.query], name_rank, score))
        _, first = np.unique(name_rank[order], return_index=True)
        return pairs.take(order[np.sort(first)[:k]])

    def _matches(self, query: Query, pairs: _Pairs) -> list[Match]:
        columns = (self._codes[pairs.row], pairs.score, pairs.embedding, pairs.rhythm)
        seconds = (self._start_s[pairs.row], query.start_s[pairs.query])
        return [
            Match(self._names[code], float(score), float(e), float(r), float(start), float(query_start))
            for code, score, e, r, start, query_start in zip(*columns, *seconds, strict=True)
        ]

    def _rows_in(self, exclude: Collection[str], allow: Collection[str] | None) -> NDArray[np.bool_]:
        """(N,): which rows may be found."""
        if allow is None and not exclude:
            return np.ones(len(self), bool)
        wanted = np.full(len(self._names), allow is None)
        for names, value in ((allow or (), True), (exclude, False)):
            wanted[[self._code_of[name] for name in names if name in self._code_of]] = value
        return wanted[self._codes[: len(self)]]

    def _checked(self, embeddings: Array, rhythms: Array) -> Array:
        """[E ; R] as (N, D) float32."""
        rows = np.ascontiguousarray(np.hstack([embeddings, rhythms]), np.float32)
        if np.shape(embeddings)[1] != self.embed_dim or np.shape(rhythms)[1] != self.rhythm_dim:
            raise ValueError(f"vectors of {self.embed_dim} + {self.rhythm_dim} numbers are wanted")
        parts = (rows[:, : self.embed_dim], rows[:, self.embed_dim :])
        # Written so that NaN fails it too; the margins of the exact ranking rest on norms of at most 1.
        if not all((np.einsum("nd,nd->n", part, part) <= 1.001).all() for part in parts):
            raise ValueError("vectors must be finite and of norm 1 at most")
        return rows

    def _vectors(self) -> Array:
        """(N, D): FAISS's own memory, valid until the next change."""
        shape = (len(self), self.embed_dim + self.rhythm_dim)
        if not len(self):
            return np.zeros(shape, np.float32)
        return faiss.rev_swig_ptr(self._flat.get_xb(), shape[0] * shape[1]).reshape(shape)

    def _block(self, rows: slice, moves: int) -> Array:
        """A copy of some rows' vectors, if none was moved since `moves` was read; else Moved."""
        with self._lock.read():
            if self._moves != moves:
                raise Moved
            return self._vectors()[rows].copy()

    def _code(self, item_id: str) -> int:
        code = self._code_of.get(item_id)
        if code is None:
            code = self._code_of[item_id] = len(self._names)
            self._names.append(item_id)
        return code

    def _reserve(self, rows: int) -> None:
        if rows > len(self._codes):
            size = max(rows, 2 * len(self._codes), 1024)
            for name in ("_segment_ids", "_codes", "_start_s"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(size - len(old), old.dtype)]))

    def _remove(self, item_ids: set[str]) -> None:
        """Fill the holes with rows from the end, so that forgetting an item costs what the item costs."""
        codes = [self._code_of.pop(item_id) for item_id in item_ids if item_id in self._code_of]
        if not codes:
            return
        self._moves += 1
        dead = np.isin(self._codes[: len(self)], codes)
        keep = len(self) - int(dead.sum())
        holes, movers = np.flatnonzero(dead[:keep]), keep + np.flatnonzero(~dead[keep:])
        for column in (self._vectors(), self._segment_ids, self._codes, self._start_s):
            column[holes] = column[movers]
        self._flat.codes.resize(keep * self._flat.code_size)
        self._flat.ntotal = keep
