"""Searches rows approximately: three FAISS IVF indexes of short codes, refined by the rows in float16.

Lists of the joined rows fail at the ends of λ, where only one part counts, and lists of one part fail at the other
end. So rows are in lists by their embeddings, by their rhythm vectors and by both, and λ decides which are probed
(builder.py measures it). A row belongs to the list with the nearest centroid; a query probes those with the largest
product. Embeddings lie close together, so their lists hold 8 bits a number; the others hold 4-bit product codes.

Rows are rotated (BlockPCA): numbers that are zero in all of them take no memory. An index never changes: `extended`
gives a larger copy. Knows numpy and FAISS. Shapes: N rows, Q query segments, D = E + R, M rotated numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.index.exact import BlockPCA, Selection
from mudar.index.ranking import Hits
from mudar.index.tuning import OperatingPoints, SearchParams
from mudar.index.types import Bools, Ints
from mudar.records import Array

TRAIN_ROWS = 262_144
LOST = 1e-3  # a row that loses more of its squared norm was not foreseen when the axes were chosen
BY_EMBEDDING, BY_RHYTHM, BY_BOTH = 0, 1, 2
ROWS_A_LIST = 64  # to train its centroid with
_CODE_ROWS = 65_536
_BLOCK_ROWS = 16_384
_ITERATIONS = 8
_SEED = 1234
_IP = faiss.METRIC_INNER_PRODUCT


def lists_for(rows: int) -> int:
    """Chooses how many lists suit so many rows: about 4 √N, a power of two."""
    return int(2 ** np.clip(np.round(np.log2(4 * np.sqrt(max(rows, 1)))), 4, 14))


@dataclass(frozen=True)
class IvfIndex:
    """N rows in three IVF indexes, and in float16; the number of a row is its place here.

    lost: the largest squared norm of what the axes cannot show of a part of the rows that were added last.
    """

    rotation: BlockPCA
    lists: tuple[Any, ...]
    halves: Any  # IndexScalarQuantizer of float16
    points: OperatingPoints = field(default_factory=OperatingPoints)
    lost: float = 0.0
    _refined: list[Any] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        for each in self.lists:
            each.ntotal = self.halves.ntotal  # dead rows are in no list, but their numbers are taken
            self._refined.append(faiss.IndexRefine(each, self.halves))

    def __len__(self) -> int:
        return int(self.halves.ntotal)

    @property
    def nlist(self) -> int:
        """How many lists each of the three has."""
        return int(self.lists[0].nlist)

    def _rotated(self) -> NDArray[np.float16]:
        count, size = self.halves.ntotal, self.halves.code_size
        return faiss.rev_swig_ptr(self.halves.codes.data(), count * size).view(np.float16).reshape(count, -1)

    def vectors(self, rows: Ints | slice) -> Array:
        """Reconstructs rows (n, D), right to float16."""
        return self.rotation.back(self._rotated()[rows].astype(np.float32))

    def search(self, queries: Array, count: int, params: SearchParams, allowed: Selection | None) -> Hits:
        """Finds the `count` best rows of each query (Q, D), as far as these parameters reach."""
        selector = None if allowed is None else allowed.selector(0, len(self))
        nprobe = max(1, min(params.nprobe, self.nlist))
        inner = faiss.IVFSearchParameters(nprobe=nprobe, sel=selector)  # type: ignore[call-arg]
        outer = faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=max(params.refine_k, count) / count, base_index_params=inner
        )
        scores, rows = self._refined[params.by].search(self.rotation.queries(queries), count, params=outer)
        query, position = np.nonzero(rows >= 0)
        floor = np.full(len(queries), -np.inf, np.float32)
        return Hits(query, rows[query, position], self._with_mean(queries, query, scores[query, position]), floor)

    def scan(self, queries: Array, count: int, rows: Ints) -> Hits:
        """Finds the `count` best of some rows for each query (Q, D) by scoring all of them."""
        rotated, halves = self.rotation.queries(queries), self._rotated()
        parts: list[tuple[Any, ...]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            scores, best = rotated @ halves[block].astype(np.float32).T, min(count, len(block))
            position = np.argpartition(scores, len(block) - best, axis=1)[:, len(block) - best :]
            query = np.repeat(np.arange(len(queries)), best)
            parts.append((query, block[position.ravel()], np.take_along_axis(scores, position, axis=1).ravel()))
        query, row, score = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Hits(query, row, self._with_mean(queries, query, score), np.full(len(queries), -np.inf, np.float32))

    def _with_mean(self, queries: Array, query: Ints, scores: Array) -> Array:
        """Adds the product with the mean, which rotated rows lack."""
        return scores + (queries @ self.rotation.mean)[query]

    def extended(self, rows: Array, alive: Bools) -> IvfIndex:
        """Copies the index and adds rows (n, D); the dead ones only take a number."""
        lists = tuple(faiss.clone_index(each) for each in self.lists)
        larger = replace(self, lists=lists, halves=faiss.clone_index(self.halves), lost=0.0, _refined=[])
        return larger.filled([(rows, alive)])

    def filled(self, blocks: Iterable[tuple[Array, Bools]]) -> IvfIndex:
        """Adds rows, with whether they are alive, to an index that nobody searches yet."""
        lost, probed = self.lost, [faiss.downcast_index(each.quantizer) for each in self.lists]
        for each, flat in zip(self.lists, probed, strict=True):
            each.quantizer = faiss.IndexFlatL2(each.d)  # a row belongs to the nearest centroid
            each.quantizer.add(flat.reconstruct_n(0, each.nlist))
        for rows, alive in blocks:
            for start in range(0, len(rows), _BLOCK_ROWS):
                part = slice(start, start + _BLOCK_ROWS)
                rotated = self.rotation.rotate(rows[part])
                lost = max(lost, self._lost(rows[part], rotated))
                numbers = self.halves.ntotal + np.flatnonzero(alive[part])
                self.halves.add(rotated)
                for each in self.lists if len(numbers) else ():  # add_core would not pack the codes of fast scan
                    each.add_with_ids(np.ascontiguousarray(rotated[alive[part]]), numbers)
        for each, flat in zip(self.lists, probed, strict=True):
            each.quantizer = flat
        return replace(self, lost=lost, _refined=[])

    def _lost(self, rows: Array, rotated: Array) -> float:
        squares, shown = np.square(rows - self.rotation.mean), np.square(rotated)
        part = self.rotation.of_embedding
        split = int(np.flatnonzero(self.rotation.axes[:, part].any(axis=1)).max(initial=-1)) + 1
        pairs = (squares[:, :split], shown[:, part]), (squares[:, split:], shown[:, ~part])
        return float(max((a.sum(axis=1) - b.sum(axis=1)).max(initial=0.0) for a, b in pairs))


def train(sample: Array, split: int, lists: int) -> IvfIndex:
    """Makes an index without rows that suits rows like these (n, D)."""
    rotation = BlockPCA.fit(sample, split, compact=True)
    rotated, embedding = rotation.rotate(sample[: ROWS_A_LIST * lists]), rotation.of_embedding
    dim = rotated.shape[1]
    made = tuple(
        _trained(rotated, axes, by, lists) for by, axes in enumerate((embedding, ~embedding, np.ones(dim, bool)))
    )
    return IvfIndex(rotation, made, faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, _IP))


def _trained(rotated: Array, axes: Bools, by: int, lists: int) -> Any:
    """Trains one IVF index, whose lists are made by some axes; their centroids are zero along the others."""
    clustered, dim = np.ascontiguousarray(rotated[:, axes]), rotated.shape[1]
    kmeans = faiss.Kmeans(clustered.shape[1], lists, niter=_ITERATIONS, seed=_SEED)
    kmeans.cp.min_points_per_centroid, kmeans.cp.max_points_per_centroid = 1, 1 << 20
    kmeans.train(clustered)
    centroids = np.zeros((lists, dim), np.float32)
    centroids[:, axes] = kmeans.centroids
    nearest, probed = faiss.IndexFlatL2(dim), faiss.IndexFlatIP(dim)
    nearest.add(centroids)
    probed.add(centroids)
    if by == BY_EMBEDDING:
        made: Any = faiss.IndexIVFScalarQuantizer(nearest, dim, lists, faiss.ScalarQuantizer.QT_8bit, _IP)
    else:
        made = faiss.IndexIVFPQFastScan(nearest, dim, lists, dim // 2, 4, _IP)
    made.by_residual = True
    made.train(rotated[:_CODE_ROWS])
    made.quantizer, made.own_fields = probed, True
    probed.this.disown()  # type: ignore[attr-defined]
    return made
