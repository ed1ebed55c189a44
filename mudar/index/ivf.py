"""Rows in float16, found through lists of short codes: a search looks into some lists and scores again what it finds.

Rows are turned (turned.py) and kept once; three divisions (partition.py) hold their numbers and codes. How many lists
of which division must be looked into is measured (grow.py), not guessed.
A row keeps its number for life; a removed one leaves a gap. Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.index import partition, turned
from mudar.index.partition import Partition
from mudar.index.ranking import Ints, Questions
from mudar.index.tuning import Effort
from mudar.index.turned import Turn
from mudar.records import Array

Halves = NDArray[np.float16]

TRAIN_ROWS = 262_144
STRAY = 1e-3  # a row that loses more of its squared norm was not foreseen when the lists were made
_BLOCK_ROWS = 16_384
_MOST_PARAMS = 256


class Found(NamedTuple):
    """Candidates of Q queries: which query, which row, float32 score (P,)."""

    query: Ints
    row: Ints
    score: Array


def lists_for(rows: int) -> int:
    """How many lists suit so many rows: about 4 √N, a power of two."""
    return int(2 ** np.clip(np.round(np.log2(4 * np.sqrt(max(rows, 1)))), 4, 14))


class IvfRows:
    """Turned rows [E ; R] behind their divisions into lists."""

    def __init__(self, turn: Turn, partitions: Sequence[Partition]) -> None:
        self.turn, self.partitions, self.lost = turn, list(partitions), 0.0
        # By its full name: FAISS's Python shorthands differ between versions.
        self._rows = faiss.IndexScalarQuantizer(turn.size, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._searches: list[Any] = []
        self._known_params: dict[tuple[int, int, float], Any] = {}
        self._join()

    def _join(self) -> None:
        """A search of each division that is refined by the rows."""
        self._searches, count = [], self._rows.ntotal
        for part in self.partitions:
            part.index.ntotal = count  # FAISS wants both alike; our numbers are given, not counted
            self._searches.append(faiss.IndexRefine(part.index, self._rows))

    def lay_out(self) -> None:
        """Once all rows are there. Not beside searches."""
        for part in self.partitions:
            part.lay_out()
        self._join()

    def __len__(self) -> int:
        return len(self.partitions[0])

    @property
    def lists(self) -> int:
        """L of each division."""
        return self.partitions[0].lists

    @property
    def stray(self) -> bool:
        """Whether a row was added that these turned rows cannot show."""
        return self.lost > STRAY

    def vectors(self) -> Halves:
        """(N, m) turned rows by number, gaps included; valid until the next change."""
        count, size = self._rows.ntotal, self._rows.code_size
        if not count:
            return np.zeros((0, self.turn.size), np.float16)
        held = faiss.rev_swig_ptr(self._rows.codes.data(), count * size)
        return held.view(np.float16).reshape(count, -1)

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        codes, size = self._rows.codes, self._rows.code_size
        codes.resize(max(count, self._rows.ntotal) * size)
        codes.resize(self._rows.ntotal * size)

    def add(self, rows: Array) -> None:
        """Append (n, D) rows under the next numbers."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = np.asarray(rows[start : start + _BLOCK_ROWS], np.float32)
            short, first = np.ascontiguousarray(self.turn(block)), self._rows.ntotal
            self.lost = max(self.lost, self.turn.outside(block, short))
            self._rows.add(short)
            for part in self.partitions:
                part.add(short, np.arange(first, first + len(block)))
        self._count()

    def keep(self, rows: Halves) -> None:
        """Append turned rows whose codes the lists have already."""
        first, size = self._rows.ntotal, self._rows.code_size
        self._rows.codes.resize((first + len(rows)) * size)
        self._rows.ntotal = first + len(rows)
        self.vectors()[first:] = rows
        self._count()

    def _count(self) -> None:
        for search in self._searches:
            search.ntotal = self._rows.ntotal  # numbers from here on would be refused

    def remove(self, numbers: Ints) -> None:
        """Forget rows."""
        if len(numbers):
            for part in self.partitions:
                part.remove(numbers)

    def search(self, questions: Questions, effort: Effort, wanted: int) -> Found:
        """Of the `depth` best rows by code in the lists nearest to turned questions, the `wanted` best by score."""
        params = self._params(effort.partition, effort.lists, max(effort.depth, wanted) / wanted)
        scores, rows = self._searches[effort.partition].search(questions.rows(), wanted, params=params)
        if rows.min() < 0:
            query, place = np.nonzero(rows >= 0)
            return Found(query, rows[query, place], scores[query, place])
        return Found(np.repeat(np.arange(len(rows)), wanted), rows.ravel(), scores.ravel())

    def _params(self, division: int, lists: int, factor: float) -> Any:
        """FAISS's parameters; to make them anew for each question would cost a tenth of a search."""
        key = division, lists, factor
        found = self._known_params.get(key)
        if found is None:
            if len(self._known_params) >= _MOST_PARAMS:
                self._known_params.clear()
            base = self.partitions[division].effort(lists)
            found = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=base)  # type: ignore[call-arg]
            self._known_params[key] = found
        return found

    def scan(self, questions: Questions, rows: Ints, depth: int) -> Found:
        """The `depth` best of some rows, all of them scored: nothing is lost."""
        queries, held = questions.rows(), self.vectors()
        parts = [Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            scores = queries @ held[block].astype(np.float32).T  # (Q, block)
            best = min(depth, len(block))
            place = np.argpartition(scores, len(block) - best, axis=1)[:, len(block) - best :]
            query = np.repeat(np.arange(len(queries)), best)
            parts.append(Found(query, block[place.ravel()], np.take_along_axis(scores, place, axis=1).ravel()))
        return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def train(sample: Array, split: int, lists: int) -> IvfRows:
    """Empty lists that suit rows like these (n, D)."""
    turn = turned.fit(sample, split)
    short = np.ascontiguousarray(turn(sample))
    made: list[Any] = [partition.train(short, turn, by, lists) for by in partition.DIVISIONS]
    return IvfRows(turn, made)
