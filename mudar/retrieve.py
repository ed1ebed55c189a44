"""Hybrid retrieval at every λ: score = λ⟨E_q, E_x⟩ + (1−λ)⟨R_q, R_x⟩ (section 3.4 of the paper).

The score is one inner product of q = [λE_q ; (1−λ)R_q] with x = [E_x ; R_x], so one index of the concatenated rows
serves every λ without rebuilding, in both directions. Items are ranked by their best pair of segments.
While the index is `exact` its answers are those of the two matrices in float64, order and ties included; one that was
made `approximate` (mudar/nearest/grow.py) looks into so many lists as the measured recall at this λ asks for.
Knows numpy and FAISS; no database, no torch, no files (index_store.py writes snapshots).

Shapes: N rows, S query segments, E embedding, R rhythm vector, D = E + R, P pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.errors import OutOfRange
from mudar.locks import ManyReadersOneWriter
from mudar.nearest import pairs as p
from mudar.nearest.columns import Columns
from mudar.nearest.flat import Bytes, FlatRows
from mudar.nearest.ivf import Found, IvfRows
from mudar.nearest.pairs import MARGIN, Ints, Pairs, Questions
from mudar.nearest.probes import EVERY, Effort, Probes
from mudar.nearest.scan import Scan
from mudar.records import Array

_DEPTH = 512
_BYTE_DEPTH = 8192  # deeper lists of bytes cost more than a scan
_FEW = 4  # query segments that bytes are scanned for one by one; more share one scan
_SCAN_DEPTH = 1000
_PROBE_FROM_SHARE = 0.1  # of fewer rows, all are looked at
_FROZEN_ROWS = 16_384


class Match(NamedTuple):
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
    start_s: Sequence[float] | Array


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
    in_lists: tuple[IvfRows, NDArray[np.uint8], Probes] | None  # rows, their codes as bytes, probes

    def blocks(self) -> Iterator[Array]:
        """The vectors, some rows at a time. Rows added since do no harm; Moved if rows were removed since."""
        for start in range(0, len(self.codes), _FROZEN_ROWS):
            yield self.block(slice(start, min(start + _FROZEN_ROWS, len(self.codes))))

    def block(self, rows: slice) -> Array:
        """Some of the vectors."""
        return self.vectors[rows] if self.vectors is not None else self.index.block(rows, self.moves)


class State(NamedTuple):
    """What people may want to know of an index."""

    mode: str  # exact or approximate
    segments: int
    items: int
    lists: int
    effort: dict[str, list[int]]  # λ: lists looked into, rows scored again
    recall: dict[str, float]  # λ: measured share of the true first ten


class HybridIndex:
    """Segments of many items. Safe to search from many threads while one changes it."""

    def __init__(self, embed_dim: int, rhythm_dim: int) -> None:
        self.embed_dim, self.rhythm_dim = embed_dim, rhythm_dim
        self.rows: FlatRows | IvfRows = FlatRows(embed_dim, rhythm_dim)
        self.probes = Probes()
        self.columns = Columns()
        self.moves = 0  # how often rows changed their places
        self.lock = ManyReadersOneWriter()
        self._depths: dict[float, int] = {}  # λ, to a tenth: how deep lists of bytes had to be
        self.touched: set[str] | None = None  # items changed while a successor of `rows` is made

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def approximate(self) -> bool:
        """Whether some lists only are looked into."""
        return isinstance(self.rows, IvfRows)

    @property
    def item_count(self) -> int:
        """How many items have at least one segment."""
        return len(self.columns.code_of)

    def state(self) -> State:
        """Mode, sizes, probes and recall per λ."""
        lists = self.rows.lists if isinstance(self.rows, IvfRows) else 0
        mode = "approximate" if lists else "exact"
        return State(mode, len(self), self.item_count, lists, self.probes.table(), self.probes.recalls())

    def __contains__(self, item_id: object) -> bool:
        return item_id in self.columns.code_of

    def item_ids(self) -> set[str]:
        """The items that have at least one segment."""
        with self.lock.read():
            return set(self.columns.code_of)

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
        with self.lock.write():
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
        with self.lock.write():
            self._remove(set(old_item_ids))
            self.columns.add(segment_ids, item_ids, start_s)
            self.rows.add(rows)
            if self.touched is not None:
                self.touched.update(item_ids)

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all, to the row."""
        with self.lock.write():
            self.rows.reserve(count)

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

        Equal scores are ordered by item id; nothing is lost to `exclude` and `allow` (item ids).
        Fewer than k only when there are no more items. OutOfRange for λ outside 0..1 or k < 1.
        """
        starts = [0.0] * len(embeddings) if query_start_s is None else query_start_s
        query = Query(embeddings, rhythms, starts)
        return self.search_many([query], [lam], k, exclude=exclude, allow=allow)[0]

    def search_many(
        self,
        queries: Sequence[Query],
        lam: Sequence[float],
        k: int,
        *,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
        effort: Effort | None = None,
    ) -> list[list[Match]]:
        """`search` for each query with its own λ, in one pass over the rows: far cheaper than one by one.

        effort: how hard to try where the index is approximate; default: as the measured recall asks.
        """
        for value in lam:
            if not 0.0 <= value <= 1.0:
                raise OutOfRange(f"lambda is {value}; it must lie in 0..1")
        if k < 1:
            raise OutOfRange(f"k is {k}; it must be at least 1")
        questions = self._questions(queries, lam)
        with self.lock.read():
            allowed = self._allowed(exclude, allow)
            if not len(self) or not len(questions.group) or not (allowed is None or allowed.any()):
                return [[] for _ in queries]
            return self._matches(questions, self._answer(questions, k, allowed, effort))

    def freeze(self, *, copy: bool = False) -> Frozen:
        """What the index holds now, for a snapshot: small columns are copied, vectors only if `copy`."""
        with self.lock.read():
            columns = self.columns.copies()
            vectors = self.rows.vectors().copy() if copy and isinstance(self.rows, FlatRows) else None
            in_lists = (self.rows, self.rows.to_bytes(), self.probes) if isinstance(self.rows, IvfRows) else None
            return Frozen(self, list(self.columns.names), *columns, vectors, self.moves, in_lists)

    def block(self, rows: slice, moves: int) -> Array:
        """A copy of some rows' vectors, if none was moved since `moves` was read; else Moved."""
        with self.lock.read():
            if self.moves != moves or not isinstance(self.rows, FlatRows):
                raise Moved
            return self.rows.vectors()[rows].copy()

    def _questions(self, queries: Sequence[Query], lam: Sequence[float]) -> Questions:
        for query in queries:
            self._checked(query.embeddings, query.rhythms)
        embeddings, rhythms, start_s = (
            np.concatenate([np.asarray(getattr(query, name), np.float32) for query in queries])
            for name in ("embeddings", "rhythms", "start_s")
        )
        group = np.repeat(np.arange(len(queries)), [len(query.embeddings) for query in queries])
        return Questions(embeddings, rhythms, start_s, group, np.asarray(lam, np.float64))

    def _answer(self, questions: Questions, k: int, allowed: NDArray[np.bool_] | None, effort: Effort | None) -> Pairs:
        if isinstance(self.rows, IvfRows):
            each = [self._probe(self.rows, questions.of(g), k, allowed, effort) for g in range(questions.count)]
            return _regrouped(questions, each)
        if self.rows.bytes is not None and len(questions.group) <= _FEW:
            pairs = self._sift(self.rows, self.rows.bytes, questions, k, allowed)
            if pairs is not None:
                return pairs
        columns = self.columns
        return Scan(self.rows, columns.codes, columns.start_s, columns.names, questions, k, allowed).run()

    def _sift(
        self, rows: FlatRows, sieve: Bytes, questions: Questions, k: int, allowed: NDArray[np.bool_] | None
    ) -> Pairs | None:
        """Deepen the lists of bytes until each k-th item surely beats all that they do not show; None if too long."""
        q, bucket = questions.rows(), round(float(questions.lam[0]), 1)
        depth = max(self._depths.get(bucket, _DEPTH), 8 * k)
        count = len(rows) if allowed is None else int(allowed.sum())
        while depth <= _BYTE_DEPTH:
            depth = min(depth, count)
            scores, found, margins = sieve.search(q, depth, _selection(allowed))
            query, row = np.repeat(np.arange(len(q)), depth), found.ravel()
            query, row = self._contenders(questions, query, row, scores.ravel(), k, float(margins.max()))
            true = np.einsum("pd,pd->p", q[query], rows.vectors()[row])
            query, row = self._contenders(questions, query, row, true, k, MARGIN)
            codes, start_s = self.columns.codes[row].astype(np.int64), self.columns.start_s[row]
            pairs = p.scored(questions, query, row, codes, start_s, rows.vectors())
            unseen = np.full(questions.count, -np.inf)
            np.maximum.at(unseen, questions.group, scores[:, -1] + margins + MARGIN)
            best = p.best(questions, pairs, k, self.columns.names)
            full = len(best.row) == k * questions.count
            if depth == count or (full and (best.score[k - 1 :: k] > unseen).all()):
                return best
            depth *= 4
            self._depths[bucket] = min(depth, _BYTE_DEPTH + 1)  # the next question of this kind begins there
        return None

    def _contenders(
        self, questions: Questions, query: Ints, row: Ints, score: Array, k: int, margin: float
    ) -> tuple[Ints, Ints]:
        """Of pairs whose scores are right up to a margin, those that may be the best of one of the k best items."""
        group, code = questions.group[query], self.columns.codes[row]
        kth = p.kth_scores(group, code, score, k, questions.count)
        kept = p.near_best(group, code, score, 2 * margin) & (score >= kth[group] - 2 * margin)
        return query[kept], row[kept]

    def _probe(
        self, rows: IvfRows, questions: Questions, k: int, allowed: NDArray[np.bool_] | None, effort: Effort | None
    ) -> Pairs:
        """Look into the lists that λ asks for; at all allowed rows when a filter leaves few, or fewer than k items."""
        q, tried = questions.rows(), effort or self.probes.at(float(questions.lam[0]), k)
        live = self.columns.codes >= 0 if allowed is None else allowed
        share = 1.0 if allowed is None else float(allowed.mean())
        if tried != EVERY and share >= _PROBE_FROM_SHARE:
            more = (1 if allowed is None else 2) / share
            found = rows.search(q, min(int(more * max(tried.depth, 16 * k)), len(rows)), int(more * tried.lists))
            best = self._best_found(questions, rows, found, live[found.row], k)
            if len(best.row) == k:
                return best
        found = rows.scan(q, np.flatnonzero(live), max(_SCAN_DEPTH, 16 * k))
        return self._best_found(questions, rows, found, slice(None), k)

    def _best_found(self, questions: Questions, rows: IvfRows, found: Found, inside: Any, k: int) -> Pairs:
        query, row, score = (column[inside] for column in found)
        if len(row):
            query, row = self._contenders(questions, query, row, score, k, MARGIN)
        codes, start_s = self.columns.codes[row].astype(np.int64), self.columns.start_s[row]
        pairs = p.scored(questions, query, row, codes, start_s, rows.vectors())
        return p.best(questions, pairs, k, self.columns.names)

    def _matches(self, questions: Questions, pairs: Pairs) -> list[list[Match]]:
        matches: list[list[Match]] = [[] for _ in range(questions.count)]
        columns = (pairs.code, pairs.score, pairs.embedding, pairs.rhythm, pairs.start_s)
        seconds, groups = questions.start_s[pairs.query], questions.group[pairs.query].tolist()
        names, values = self.columns.names, (column.tolist() for column in (*columns, seconds))
        for group, code, *rest in zip(groups, *values, strict=True):
            matches[group].append(Match(names[code], *rest))
        return matches

    def _allowed(self, exclude: Collection[str], allow: Collection[str] | None) -> NDArray[np.bool_] | None:
        """(N,): which rows may be found; None = all."""
        if allow is None and not any(item_id in self.columns.code_of for item_id in exclude):
            return None
        return self.columns.rows_of(allow, exclude)

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

    def _remove(self, item_ids: set[str]) -> None:
        """Forget items: flat rows fill the holes with rows from the end, lists leave gaps in the numbers."""
        if self.touched is not None:
            self.touched.update(item_ids)
        dead = self.columns.forget(item_ids)
        if not len(dead):
            return
        if isinstance(self.rows, IvfRows):
            self.columns.mark_gone(dead)
            self.rows.remove(dead)
            return
        self.moves += 1
        holes, movers, keep = self.columns.close_up(dead)
        self.rows.close_up(holes, movers, keep)


def _bits(allowed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(allowed, bitorder="little")


def _selection(allowed: NDArray[np.bool_] | None) -> Any:
    if allowed is None:
        return None
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(_bits(allowed)))  # type: ignore[call-arg, arg-type]


def _regrouped(questions: Questions, answers: list[Pairs]) -> Pairs:
    """Pairs of single questions, their query segments numbered as in all questions together."""
    first = np.searchsorted(questions.group, np.arange(questions.count))
    joined = Pairs.join(answers)
    offset = np.repeat(first, [len(answer.row) for answer in answers])
    return Pairs(joined.query + offset, *(v for name, v in vars(joined).items() if name != "query"))
