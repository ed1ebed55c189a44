"""Searches float32 rows exactly: FAISS Flat, or, where it is quicker, FAISS Panorama over rotated rows.

Panorama (arXiv 2510.00566) reads rows level by level and stops where the Cauchy-Schwarz bound of the levels that are
left cannot reach the best rows so far. A block-diagonal PCA puts what weighs most first; it rotates embeddings and
rhythm vectors apart, so one index bounds the score at every λ. What float32 leaves in doubt is told by `Hits.floor`.

An index never changes; readers of an older one do not see rows that are added. Knows numpy and FAISS.
Shapes: N rows, Q query segments, D = E + R, M rotated numbers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import faiss
import numpy as np

from mudar.index.ranking import Hits
from mudar.index.rows import AppendOnly
from mudar.index.types import Bools, Ints
from mudar.records import Array

ACCELERATE_FROM_ROWS = 2_000
_GROWN = 1.25  # so many times the accelerated rows, and they are accelerated anew
_LEVEL_DIMS, _BATCH_ROWS = 32, 512  # Panorama returns no longer list than a batch
_BLOCK_ROWS = 16_384
_BLOCK_SCORES = 1 << 22
_SAMPLE_ROWS = 20_000
_TRIAL_QUERIES, _TRIAL_DEPTH = 10, 64
_DEVICE_DEPTH = 2048  # FAISS's GPU indexes return no longer list
_SEED = 7
_SHARE, _MULTIPLE = 1 - 1e-9, 16

_FAISS: Any = faiss  # its type stubs do not know what its Python layer accepts
Device = Callable[[Any], Any]  # an empty FAISS index on the CPU → the same on a GPU


class BlockPCA(NamedTuple):
    """Rotates rows [E ; R] by the principal axes of each part: mean (D,), axes (D, M).

    of_embedding (M,): which axes are of the embedding.
    """

    mean: Array
    axes: Array
    of_embedding: Bools

    @staticmethod
    def fit(sample: Array, split: int, *, compact: bool = False) -> BlockPCA:
        """Fits the axes to rows (n, D), of which the first `split` numbers are the embedding; widest axes first.

        compact: rows without their mean, and without the directions that none of them takes. The axes that are left
        are mixed at random, so that no number is large and rounding errors do not add up along a query; columns of
        zeros make their number a multiple of 16, as FAISS's scalar quantizer likes it.
        """
        dim = sample.shape[1]
        mean = sample.mean(axis=0) if compact else np.zeros(dim, np.float32)
        energies, blocks, rng = [], [], np.random.default_rng(_SEED)
        for start, stop in ((0, split), (split, dim)):
            part = (sample[:, start:stop] - mean[start:stop]).astype(np.float64)
            energy, axes = np.linalg.eigh(part.T @ part)
            energy, axes = np.maximum(energy[::-1], 0.0), axes[:, ::-1]
            if compact:
                count = min(int(np.searchsorted(np.cumsum(energy), _SHARE * energy.sum())) + 1, len(energy))
                energy, axes = energy[:count], axes[:, :count] @ np.linalg.qr(rng.normal(size=(count, count)))[0]
            block = np.zeros((dim, axes.shape[1]))
            block[start:stop] = axes
            energies.append(energy)
            blocks.append(block)
        order = np.argsort(-np.concatenate(energies), kind="stable")
        padding = -len(order) % _MULTIPLE if compact else 0
        axes = np.hstack([np.hstack(blocks)[:, order], np.zeros((dim, padding))]).astype(np.float32)
        return BlockPCA(mean, axes, np.concatenate([order < len(energies[0]), np.zeros(padding, bool)]))

    def rotate(self, rows: Array) -> Array:
        """Rotates rows (n, D) → (n, M)."""
        return np.ascontiguousarray((rows - self.mean) @ self.axes)

    def back(self, rotated: Array) -> Array:
        """Reverses `rotate` as far as the axes reach: (n, M) → (n, D)."""
        return rotated @ self.axes.T + self.mean

    def queries(self, queries: Array) -> Array:
        """Rotates queries (Q, D) → (Q, M): products with rotated rows miss only the product with the mean."""
        return queries @ self.axes


class Selection:
    """Rows that may be found, (N,), as numpy and as FAISS read them."""

    def __init__(self, rows: Bools) -> None:
        self.rows, self.count = rows, int(rows.sum())
        self._selectors: dict[tuple[int, int], tuple[Any, Any]] = {}

    def selector(self, start: int, stop: int) -> Any:
        """Makes FAISS's selector of some rows, numbered from `start`."""
        if (start, stop) not in self._selectors:
            bits = np.packbits(self.rows[start:stop], bitorder="little")
            self._selectors[start, stop] = (_FAISS.IDSelectorBitmap(bits), bits)
        return self._selectors[start, stop][0]


class Accelerated(NamedTuple):
    """A FAISS index of the first rows: a Panorama of rotated rows, or, without rotation, one on a GPU."""

    index: Any
    rows: int
    rotation: BlockPCA | None


@dataclass(frozen=True)
class ExactIndex:
    """N rows [E ; R] of float32, (N, D), and perhaps an index that finds the best of them sooner."""

    split: int
    vectors: Array
    accelerated: Accelerated | None = None
    tried_rows: int = 0  # rows there were when it was last tried to accelerate them
    _buffer: AppendOnly = field(default_factory=lambda: AppendOnly(np.float32, 0))

    @staticmethod
    def empty(embed_dim: int, rhythm_dim: int) -> ExactIndex:
        """Makes an index without rows."""
        dim = embed_dim + rhythm_dim
        return ExactIndex(embed_dim, np.zeros((0, dim), np.float32), _buffer=AppendOnly(np.float32, dim))

    def __len__(self) -> int:
        return len(self.vectors)

    def appended(self, rows: Array) -> ExactIndex:
        """Adds rows (n, D)."""
        return replace(self, vectors=self._buffer.append(len(self), rows))

    @property
    def wants_acceleration(self) -> bool:
        """Whether there are many rows more than when it was last tried."""
        return len(self) >= max(ACCELERATE_FROM_ROWS, int(_GROWN * self.tried_rows))

    def search(self, queries: Array, depth: int, allowed: Selection | None, first: int = 0) -> Hits:
        """Finds the `depth` best allowed rows, or more, of each query (Q, D), all of them if there are no more.

        first: the number of the first row here, by which rows are numbered and selected.
        """
        parts, start = [], 0
        fast = self.accelerated
        if fast is not None and depth <= (_DEVICE_DEPTH if fast.rotation is None else _BATCH_ROWS):
            start = fast.rows
            if fast.rotation is None:  # FAISS's GPU indexes take no selector: others are left out afterwards
                scores, labels = fast.index.search(queries, min(depth, start))
                parts.append(_hits(scores, labels, first, start, None if allowed is None else allowed.rows))
            else:
                params = _params(allowed, first, first + start)
                rotated = fast.rotation.queries(queries)
                scores, labels = fast.index.search(rotated, min(depth, start), params=params)
                parts.append(_hits(scores, labels, first, start))
        if start < len(self):
            selector = None if allowed is None else allowed.selector(first + start, first + len(self))
            scores, labels = _flat(queries, self.vectors[start:], depth, selector)
            parts.append(_hits(scores, labels, first + start, len(self) - start))
        return Hits.join(parts)

    def above(self, queries: Array, score: float, allowed: Selection | None) -> Hits:
        """Finds all allowed rows that score at least so much with a query (Q, D)."""
        fast, start, matches = self.accelerated, 0, []
        if fast is not None and fast.rotation is not None:
            start, params = fast.rows, _params(allowed, 0, fast.rows)
            limits, scores, rows = fast.index.range_search(fast.rotation.queries(queries), score, params=params)
            matches.append((np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), rows, scores))
        if start < len(self):
            block = max(1, _BLOCK_SCORES // len(queries))
            for at in range(start, len(self), block):
                products = queries @ self.vectors[at : at + block].T
                if allowed is not None:
                    products[:, ~allowed.rows[at : at + block]] = -np.inf
                query, row = np.nonzero(products >= score)
                matches.append((query, row + at, products[query, row]))
        query, row, scores = (np.concatenate(column) for column in zip(*matches, strict=True))
        return Hits(query, row, scores, np.full(len(queries), -np.inf, np.float32))


def accelerate(index: ExactIndex, device: Device | None = None) -> ExactIndex:
    """Makes an index of all rows on the device, or a Panorama if a short test finds it quicker than Flat."""
    rows = index.vectors
    if device is not None:
        return _with(index, _filled(device(faiss.IndexFlatIP(rows.shape[1])), rows, None), None)
    chosen = np.random.default_rng(_SEED).choice(len(rows), min(len(rows), _SAMPLE_ROWS), replace=False)
    sample, dim = rows[np.sort(chosen)], rows.shape[1]
    rotation = BlockPCA.fit(sample, index.split)
    if not _quicker(_filled(_panorama(dim), sample, rotation), rotation, sample, index.split):
        return replace(index, accelerated=None, tried_rows=len(rows))
    return _with(index, _filled(_panorama(dim), rows, rotation), rotation)


def _with(index: ExactIndex, made: Any, rotation: BlockPCA | None) -> ExactIndex:
    return replace(index, accelerated=Accelerated(made, len(index), rotation), tried_rows=len(index))


def _panorama(dim: int) -> Any:
    return faiss.IndexFlatIPPanorama(dim, -(-dim // _LEVEL_DIMS), _BATCH_ROWS)


def _filled(made: Any, rows: Array, rotation: BlockPCA | None) -> Any:
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        made.add(np.ascontiguousarray(block) if rotation is None else rotation.rotate(block))
    return made


def _quicker(panorama: Any, rotation: BlockPCA, sample: Array, split: int) -> bool:
    """Whether a Panorama of the sample finds some of its own rows, at both ends of λ and between, sooner than Flat."""
    spent = np.full(2, np.inf)
    for _ in range(3):  # in turns, so that a noisy moment hits both
        once = np.zeros(2)
        for lam, row in itertools.product((0.0, 0.5, 1.0), sample[:_TRIAL_QUERIES]):
            query = (row * np.repeat([lam, 1 - lam], [split, len(row) - split]).astype(np.float32))[None]
            started = time.thread_time()
            _flat(query, sample, _TRIAL_DEPTH, None)
            between = time.thread_time()
            panorama.search(rotation.queries(query), _TRIAL_DEPTH)
            once += between - started, time.thread_time() - between
        spent = np.minimum(spent, once)
    return bool(spent[1] < spent[0])


def _params(allowed: Selection | None, start: int, stop: int) -> Any:
    if allowed is None:
        return None
    return _FAISS.SearchParameters(sel=allowed.selector(start, stop))


def _flat(queries: Array, rows: Array, depth: int, selector: Any) -> tuple[Array, Ints]:
    """Searches as IndexFlatIP does, over rows that stay where they are."""
    depth = min(depth, len(rows))
    scores, labels = np.empty((len(queries), depth), np.float32), np.empty((len(queries), depth), np.int64)
    queries, counts = np.ascontiguousarray(queries), (rows.shape[1], len(queries), len(rows), depth)
    pointers = [faiss.swig_ptr(each) for each in (queries, rows, scores, labels)]
    _FAISS.knn_inner_product(*pointers[:2], *counts, *pointers[2:], selector)
    return scores, labels


def _hits(scores: Array, labels: Ints, first: int, count: int, allowed: Bools | None = None) -> Hits:
    """Makes pairs of FAISS's lists (Q, depth) over `count` rows from the row `first` on."""
    depth = labels.shape[1]
    query, row, score = np.repeat(np.arange(len(labels)), depth), labels.ravel(), scores.ravel()
    if row.min(initial=0) < 0 or allowed is not None:
        chosen = row >= 0 if allowed is None else (row >= 0) & allowed[row + first]
        query, row, score = query[chosen], row[chosen], score[chosen]
    cut = (labels[:, -1] >= 0) & (depth < count)
    return Hits(query, row + first, score, np.where(cut, scores[:, -1], np.float32(-np.inf)))
