"""Rows kept in lists, in float16: a search looks into the lists nearest to it (FAISS IVF, scalar quantiser).

A row keeps its number for life; a removed one leaves a gap in the numbers until the lists are made anew. How many
lists must be looked into is measured (calibrate.py), not guessed. Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import faiss
import numpy as np

from mudar.errors import OutOfRange
from mudar.nearest.pairs import Ints
from mudar.records import Array

TRAIN_ROWS_PER_LIST = 48
_ITERATIONS = 8
_SEED = 1234


class Found(NamedTuple):
    """Of Q queries their `depth` best rows, fewer where the lists end (row −1): scores, rows (Q, depth), vectors."""

    scores: Array
    rows: Ints
    vectors: Array  # (Q, depth, D) float16, undefined where the row is −1


def lists_for(rows: int) -> int:
    """How many lists suit so many rows: about 2 √N, a power of two."""
    return int(2 ** np.clip(np.round(np.log2(2 * np.sqrt(max(rows, 1)))), 4, 16))


class IvfRows:
    """Rows [E ; R] in `centroids` (L, D) lists."""

    def __init__(self, centroids: Array) -> None:
        self.lists, self.dim = centroids.shape
        self._quantizer = faiss.IndexFlatIP(self.dim)
        self._quantizer.add(np.ascontiguousarray(centroids, np.float32))
        kind = faiss.ScalarQuantizer.QT_fp16
        # Plain numbers, not residuals: what comes back with a row is then the row itself, in float16.
        self.index = faiss.IndexIVFScalarQuantizer(
            self._quantizer, self.dim, self.lists, kind, faiss.METRIC_INNER_PRODUCT, False
        )
        self.index.is_trained = True

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def centroids(self) -> Array:
        """(L, D)."""
        return np.array(faiss.rev_swig_ptr(self._quantizer.get_xb(), self.lists * self.dim)).reshape(-1, self.dim)

    def add(self, numbers: Ints, rows: Array) -> None:
        """Add (n, D) rows under their numbers."""
        if len(rows):
            self.index.add_with_ids(np.ascontiguousarray(rows, np.float32), np.ascontiguousarray(numbers, np.int64))

    def remove(self, numbers: Ints) -> None:
        """Forget rows."""
        if len(numbers):
            self.index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(numbers, np.int64)))

    def search(self, queries: Array, depth: int, probes: int, selector: Any = None) -> Found:
        """Look into `probes` lists for weighted queries (Q, D), among the rows that the selector takes."""
        params = faiss.SearchParametersIVF(nprobe=min(probes, self.lists), sel=selector)  # type: ignore[call-arg]
        scores, rows, codes = self.index.search_and_return_codes(queries, depth, params=params)
        return Found(scores, rows, codes.reshape(len(queries), depth, -1).view("<f2"))

    def list_of(self, number: int) -> tuple[Ints, Array]:
        """Copies of one list: row numbers (n,), rows (n, D) float16."""
        held: Any = self.index.invlists
        size = held.list_size(number)
        if not size:
            return np.zeros(0, np.int64), np.zeros((0, self.dim), np.float16)
        numbers = np.array(faiss.rev_swig_ptr(held.get_ids(number), size), np.int64)
        codes = np.array(faiss.rev_swig_ptr(held.get_codes(number), size * 2 * self.dim))
        return numbers, codes.view("<f2").reshape(size, self.dim)

    def fill(self, number: int, numbers: Ints, rows: Array) -> None:
        """Put rows (n, D) float16 into a list, as `list_of` gave them."""
        if len(numbers):
            codes = np.ascontiguousarray(rows, "<f2").view(np.uint8)
            ids = np.ascontiguousarray(numbers, np.int64)
            held: Any = self.index.invlists
            held.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
            self.index.ntotal += len(ids)


def train(sample: Array, lists: int) -> Array:
    """(L, D) centroids of k-means on (n, D) rows. OutOfRange when there are fewer rows than lists."""
    if len(sample) < lists:
        raise OutOfRange(f"{len(sample)} rows cannot make {lists} lists")
    means = faiss.Kmeans(sample.shape[1], lists, niter=_ITERATIONS, seed=_SEED, verbose=False)
    means.cp.min_points_per_centroid = 1
    means.train(np.ascontiguousarray(sample, np.float32))
    return np.ascontiguousarray(means.centroids, np.float32)
