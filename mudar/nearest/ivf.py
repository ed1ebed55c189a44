"""Rows in float16, found through lists of short codes: a search looks into some lists and scores again what it finds.

The lists are pairs of a place among the embeddings and one among the rhythm vectors (k-means of each part), so that
they can be told apart at every λ, at both ends too, where lists of the whole row fail. Codes are 4-bit product codes
(FAISS fast scan) of the rows' principal axes; an axis of the rhythm part has a code of its own, since there are few
and rows lie dense along them. How many lists must be looked into is measured (grow.py), not guessed.
A row keeps its number for life; a removed one leaves a gap. Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.nearest.pairs import Ints
from mudar.nearest.sketch import axes
from mudar.records import Array

Halves = NDArray[np.float16]

TRAIN_ROWS = 65_536
_ITERATIONS = 8
_SEED = 1234
_EMBEDDING_ENERGY, _RHYTHM_ENERGY = 0.93, 0.995
_EMBEDDING_AXES, _RHYTHM_AXES = 96, 16  # at most: 48 + 16 codes of 4 bits, 32 bytes a row
_BLOCK_ROWS = 16_384


class Found(NamedTuple):
    """Candidates of Q queries: which query, which row, float32 score (P,)."""

    query: Ints
    row: Ints
    score: Array


def lists_for(rows: int) -> int:
    """How many lists suit so many rows: about 4 √N, a power of two."""
    return int(2 ** np.clip(np.round(np.log2(4 * np.sqrt(max(rows, 1)))), 4, 14))


class Rotation(NamedTuple):
    """Principal axes of the two parts: (E, m) and (R, n)."""

    embedding: Array
    rhythm: Array

    def __call__(self, rows: Array) -> Array:
        """(N, m + 2n): what is coded. Codes stand for two numbers each; a rhythm axis has a zero beside it."""
        split = len(self.embedding)
        rhythm = np.zeros((len(rows), 2 * self.rhythm.shape[1]), np.float32)
        rhythm[:, ::2] = rows[:, split:] @ self.rhythm
        return np.ascontiguousarray(np.hstack([rows[:, :split] @ self.embedding, rhythm]), np.float32)


class IvfRows:
    """Rows [E ; R] behind a trained FAISS index of their codes."""

    def __init__(self, rotation: Rotation, index: Any) -> None:
        self.rotation, self.index = rotation, index
        self.dim = len(rotation.embedding) + len(rotation.rhythm)
        self._held: Halves = np.zeros((0, self.dim), np.float16)
        self._count = 0

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """L."""
        return int(self.index.nlist)

    def vectors(self) -> Halves:
        """(N, D) by number, gaps included."""
        return self._held[: self._count]

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        if count > len(self._held):
            larger = np.empty((count, self.dim), np.float16)
            larger[: self._count] = self.vectors()
            self._held = larger

    def add(self, rows: Array) -> None:
        """Append (n, D) rows under the next numbers."""
        first = self._count
        self.keep(rows)
        if len(rows):
            self.index.add_with_ids(self.rotation(np.asarray(rows, np.float32)), np.arange(first, self._count))

    def keep(self, rows: NDArray[Any]) -> None:
        """Append rows whose codes the index has already."""
        if self._count + len(rows) > len(self._held):
            self.reserve(self._count + max(len(rows), min(self._count // 2, 1 << 18), 1024))
        self._held[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    def remove(self, numbers: Ints) -> None:
        """Forget rows."""
        if len(numbers):
            self.index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(numbers, np.int64)))

    def search(self, queries: Array, depth: int, probes: int) -> Found:
        """The `depth` best rows by code in the `probes` lists nearest to weighted queries (Q, D), scored again."""
        params = faiss.IVFSearchParameters(nprobe=min(probes, self.lists))  # type: ignore[call-arg]
        _, found = self.index.search(self.rotation(queries), depth, params=params)
        query, place = np.nonzero(found >= 0)
        return self.scored(queries, query, found[query, place])

    def scored(self, queries: Array, query: Ints, row: Ints) -> Found:
        """Pairs with the scores that their float16 rows give."""
        vectors = self._held[row].astype(np.float32)
        return Found(query, row, np.einsum("pd,pd->p", queries[query], vectors))

    def scan(self, queries: Array, rows: Ints, depth: int) -> Found:
        """The `depth` best of some rows, all of them scored: nothing is lost."""
        parts = [Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            scores = queries @ self._held[block].astype(np.float32).T  # (Q, block)
            best = min(depth, len(block))
            place = np.argpartition(scores, len(block) - best, axis=1)[:, len(block) - best :]
            query = np.repeat(np.arange(len(queries)), best)
            parts.append(Found(query, block[place.ravel()], np.take_along_axis(scores, place, axis=1).ravel()))
        return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def blocks(self, count: int) -> Iterator[Halves]:
        """The first `count` rows, some at a time; they never change."""
        for start in range(0, count, _BLOCK_ROWS):
            yield self._held[start : min(start + _BLOCK_ROWS, count)]

    def to_bytes(self) -> NDArray[np.uint8]:
        """The index of codes, for a snapshot."""
        codes: NDArray[np.uint8] = faiss.serialize_index(self.index)
        return codes


def train(sample: Array, split: int, lists: int) -> IvfRows:
    """Empty lists that suit rows like these (n, D)."""
    parts = (sample[:, :split], sample[:, split:])
    rotation = Rotation(
        axes(parts[0], _EMBEDDING_ENERGY, _EMBEDDING_AXES, even=True), axes(parts[1], _RHYTHM_ENERGY, _RHYTHM_AXES)
    )
    rhythms = int(2 ** np.round(np.log2(np.sqrt(lists) / 1.5)))
    centres = [_means(part, count) for part, count in zip(parts, (lists // rhythms, rhythms), strict=True)]
    pairs = np.hstack([np.repeat(centres[0], rhythms, 0), np.tile(centres[1], (lists // rhythms, 1))])
    places = rotation(pairs.astype(np.float32))
    quantizer = faiss.IndexFlatIP(places.shape[1])
    quantizer.add(places)
    index = faiss.IndexIVFPQFastScan(
        quantizer, places.shape[1], lists, places.shape[1] // 2, 4, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = True
    index.train(rotation(sample))
    index.own_fields = True
    quantizer.this.disown()  # type: ignore[attr-defined]
    return IvfRows(rotation, index)


def _means(part: Array, count: int) -> Array:
    """(count, D) centres of norm 1."""
    means = faiss.Kmeans(part.shape[1], count, niter=_ITERATIONS, seed=_SEED, spherical=True)
    means.cp.min_points_per_centroid = 1
    means.train(np.ascontiguousarray(part, np.float32))
    return np.asarray(means.centroids, np.float32)
