"""Hybrid retrieval at every λ: score = λ⟨E_q, E_x⟩ + (1−λ)⟨R_q, R_x⟩ (section 3.4 of the paper).

The score is one inner product of q = [λE_q ; (1−λ)R_q] with x = [E_x ; R_x], so one index of the concatenated rows
serves every λ without rebuilding, in both directions. Items are ranked by their best pair of segments.
While the index is `exact` its answers are those of the two matrices in float64, order and ties included; one that was
made `approximate` (mudar/index/builder.py) looks into so many lists as the measured recall at this λ asks for.
Knows numpy and FAISS; no database, no torch, no files (index_store.py writes snapshots).

Shapes: N rows, S query segments, E embedding, R rhythm vector, D = E + R, P pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mudar.index import compiled
from mudar.index.exact import FlatRows
from mudar.index.gpu import answered
from mudar.index.ivf import IvfRows
from mudar.index.lists import probe
from mudar.index.locks import ManyReadersOneWriter
from mudar.index.ranking import Ints, Pairs, Questions
from mudar.index.results import NONE, Found, Match, Matches
from mudar.index.rows import Columns
from mudar.index.scan import Scan
from mudar.index.sift import FEW, SIFT_FROM_ROWS, Sifter, Weigh, weighed
from mudar.index.sweeps import Sweep
from mudar.index.tuning import Effort, Probes
from mudar.index.types import SearchRequest, batches
from mudar.records import Array

_FROZEN_ROWS = 16_384


class InLists(NamedTuple):
    """Rows in lists, the bytes of their divisions, and the probes."""

    rows: IvfRows
    coded: list[NDArray[np.uint8]]
    probes: Probes


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
    in_lists: InLists | None

    def blocks(self) -> Iterator[Array]:
        """The vectors, some rows at a time. Rows added since do no harm; Moved if rows were removed since."""
        for start in range(0, len(self.codes), _FROZEN_ROWS):
            yield self.block(slice(start, min(start + _FROZEN_ROWS, len(self.codes))))

    def halves(self) -> Iterator[NDArray[np.float16]]:
        """The turned vectors of rows in lists, some at a time; a row's never change."""
        if self.in_lists is None:
            raise Moved
        for start in range(0, len(self.codes), _FROZEN_ROWS):
            with self.index.lock.read():  # an addition may move them in memory
                part = self.in_lists.rows.vectors()[start : min(start + _FROZEN_ROWS, len(self.codes))].copy()
            yield part

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
        self._sifter = Sifter()
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
        return list(self.search_many([SearchRequest(embeddings, rhythms, starts, lam, k, exclude, allow)])[0])

    def search_many(self, requests: Sequence[SearchRequest], effort: Effort | None = None) -> list[Matches]:
        """Answers many requests, those that share k and filters in one pass over the rows: cheaper than one by one.

        effort: how hard to try where the index is approximate; default: as the measured recall asks.
        """
        answers = [NONE] * len(requests)
        for places in batches(requests):
            found = self._search_alike([requests[place] for place in places], effort)
            for place, matches in zip(places, found, strict=True):
                answers[place] = matches
        return answers

    def _search_alike(self, requests: Sequence[SearchRequest], effort: Effort | None) -> list[Matches]:
        questions, first = self._questions(requests), requests[0]
        with self.lock.read():
            allowed = self._allowed(first.exclude, first.allow)
            if not len(self) or not len(questions.group) or not (allowed is None or allowed.any()):
                return [NONE] * len(requests)
            return self._matches(questions, self._answer(questions, first.k, allowed, effort))

    def freeze(self, *, copy: bool = False) -> Frozen:
        """What the index holds now, for a snapshot: small columns are copied, vectors only if `copy`."""
        with self.lock.read():
            columns = self.columns.copies()
            vectors = self.rows.vectors().copy() if copy and isinstance(self.rows, FlatRows) else None
            in_lists = None
            if isinstance(self.rows, IvfRows):
                in_lists = InLists(self.rows, [part.to_bytes() for part in self.rows.partitions], self.probes)
            return Frozen(self, list(self.columns.names), *columns, vectors, self.moves, in_lists)

    def block(self, rows: slice, moves: int) -> Array:
        """A copy of some rows' vectors, if none was moved since `moves` was read; else Moved."""
        with self.lock.read():
            if self.moves != moves or not isinstance(self.rows, FlatRows):
                raise Moved
            return self.rows.vectors()[rows].copy()

    def _questions(self, queries: Sequence[SearchRequest]) -> Questions:
        if len(queries) == 1:  # one question is asked for its speed
            embeddings, rhythms = queries[0].embeddings, queries[0].rhythms
            start_s = np.asarray(queries[0].start_s, np.float32)
            group = np.zeros(len(start_s), np.int64)
        else:
            embeddings = np.concatenate([query.embeddings for query in queries])
            rhythms = np.concatenate([query.rhythms for query in queries])
            start_s = np.concatenate([query.start_s for query in queries], dtype=np.float32, casting="same_kind")
            group = np.repeat(np.arange(len(queries)), [len(query.embeddings) for query in queries])
        embeddings, rhythms = self._part(embeddings, self.embed_dim), self._part(rhythms, self.rhythm_dim)
        if not len(embeddings) == len(rhythms) == len(start_s) == len(group):
            raise ValueError("the columns of these segments are not of one length")
        return Questions(embeddings, rhythms, start_s, group, np.array([query.lam for query in queries], np.float64))

    def _answer(self, questions: Questions, k: int, allowed: NDArray[np.bool_] | None, effort: Effort | None) -> Pairs:
        rows, columns = self.rows, self.columns
        if isinstance(rows, IvfRows):
            if questions.count == 1:
                return probe(rows, columns, self.probes, questions, k, allowed, effort)
            single = map(questions.of, range(questions.count))
            return _regrouped(questions, [probe(rows, columns, self.probes, q, k, allowed, effort) for q in single])
        return self._exactly(rows, questions, k, allowed)

    def _exactly(self, rows: FlatRows, questions: Questions, k: int, allowed: NDArray[np.bool_] | None) -> Pairs:
        if rows.card is not None and allowed is None:
            vectors, columns = rows.vectors(), self.columns
            return answered(rows.card, vectors, columns, questions, k, lambda asked: self._here(rows, asked, k, None))
        return self._here(rows, questions, k, allowed)

    def _here(self, rows: FlatRows, questions: Questions, k: int, allowed: NDArray[np.bool_] | None) -> Pairs:
        """On the CPU."""
        columns, loops = self.columns, compiled.kernels()

        def scan(asked: Questions) -> Pairs:
            return Scan(rows, columns.codes, columns.start_s, columns.names, asked, k, allowed).run()

        if (
            rows.digits is not None
            and questions.count == 1
            and len(questions.group) <= FEW
            and len(rows) >= SIFT_FROM_ROWS
        ):
            weigh = self._weigh(rows, questions, k, scan)
            pairs = self._sifter.search(rows, rows.digits, questions, k, allowed, weigh)
            if pairs is not None:
                return pairs
        if loops is None:
            return scan(questions)
        sweep = Sweep(loops, rows, columns, questions, k)
        sweep.all_rows(allowed)
        return sweep.result(scan)

    def _weigh(self, rows: FlatRows, question: Questions, k: int, scan: Callable[[Questions], Pairs]) -> Weigh:
        loops = compiled.kernels()
        if loops is None:
            return weighed(rows, self.columns, question, k)

        def weigh(query: Ints, row: Ints) -> Pairs:
            sweep = Sweep(loops, rows, self.columns, question, k)
            sweep.pairs_of(query, row)
            return sweep.result(scan)

        return weigh

    def _matches(self, questions: Questions, pairs: Pairs) -> list[Matches]:
        names = self.columns.names
        numbers = (pairs.score, pairs.embedding, pairs.rhythm, pairs.start_s, questions.start_s[pairs.query])
        found = Found([names[code] for code in pairs.code.tolist()], numbers)
        if questions.count == 1:
            return [Matches(found, 0, len(found.item_ids))]
        ends = np.searchsorted(questions.group[pairs.query], np.arange(questions.count + 1)).tolist()
        return [Matches(found, start, stop) for start, stop in itertools.pairwise(ends)]

    def _allowed(self, exclude: Collection[str], allow: Collection[str] | None) -> NDArray[np.bool_] | None:
        """(N,): which rows may be found; None = all."""
        if allow is None and not any(item_id in self.columns.code_of for item_id in exclude):
            return None
        return self.columns.rows_of(allow, exclude)

    def _checked(self, embeddings: Array, rhythms: Array) -> Array:
        """[E ; R] as (N, D) float32."""
        return np.hstack([self._part(embeddings, self.embed_dim), self._part(rhythms, self.rhythm_dim)])

    def _part(self, rows: Array, dim: int) -> Array:
        part = np.ascontiguousarray(rows, np.float32)
        if part.shape[1:] != (dim,):
            raise ValueError(f"vectors of {self.embed_dim} + {self.rhythm_dim} numbers are wanted")
        # Written so that NaN fails it too; the margins of the exact ranking rest on norms of at most 1.
        if not (np.einsum("nd,nd->n", part, part) <= 1.001).all():
            raise ValueError("vectors must be finite and of norm 1 at most")
        return part

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


def _regrouped(questions: Questions, answers: list[Pairs]) -> Pairs:
    """Pairs of single questions, their query segments numbered as in all questions together."""
    first = np.searchsorted(questions.group, np.arange(questions.count))
    joined = Pairs.join(answers)
    offset = np.repeat(first, [len(answer.row) for answer in answers])
    return Pairs(joined.query + offset, *(v for name, v in vars(joined).items() if name != "query"))
