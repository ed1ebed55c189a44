"""One division of all rows into lists, by their embeddings or by their rhythm vectors, with short codes in the lists.

Lists of the whole row fail at the ends of λ, where only one part counts; lists of one part fail at the other end. So
there are two divisions, and λ decides which is asked (grow.py measures it). Codes are 4-bit product codes (FAISS fast
scan) of what a row differs by from the middle of its list: an axis with a wide spread has a code of its own, others
share one in pairs, the narrowest are left out; how many of each is what loses least for the λ of this division.
Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.nearest.pairs import Ints
from mudar.nearest.sketch import axes
from mudar.nearest.turned import Turn
from mudar.records import Array

EMBEDDING, RHYTHM = 0, 1  # what the lists are made by
DIVISIONS = 2
CODES = 64  # 4-bit codes a row: 32 bytes
_OTHER = 0.5  # weight of the part that the lists are not made by
_ALONE, _PAIRED = 0.0095, 0.1175  # what is lost of a Gaussian's variance with 16 levels, and with 4 (Max 1960)
_ITERATIONS = 8
_SEED = 1234


class Partition:
    """Lists of all rows by one part. Its queries are turned rows."""

    def __init__(self, index: Any, turn: Turn) -> None:
        """index: FAISS's IndexPreTransform of an IndexIVFPQFastScan."""
        self.index = index
        self._lists: Any = faiss.downcast_index(index.index)
        turning: Any = faiss.downcast_VectorTransform(index.chain.at(0))
        self._axes = faiss.vector_to_array(turning.A).reshape(turning.d_out, turning.d_in).T
        self._axes[turn.split - 1] = (
            turn.mean @ turn.embedding @ self._axes[: turn.split - 1]
        )  # codes are of whole rows

    @property
    def lists(self) -> int:
        """L."""
        return int(self._lists.nlist)

    def __len__(self) -> int:
        return int(self._lists.ntotal)

    def add(self, turned: Array, numbers: Ints) -> None:
        """Append rows (n, m) under their numbers."""
        self._lists.add_with_ids(np.ascontiguousarray(turned @ self._axes), numbers)

    def remove(self, numbers: Ints) -> None:
        """Forget rows."""
        self._lists.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(numbers, np.int64)))

    def to_bytes(self) -> NDArray[np.uint8]:
        """For a snapshot."""
        coded: NDArray[np.uint8] = faiss.serialize_index(self.index)
        return coded

    def effort(self, probes: int) -> Any:
        """FAISS's parameters for a search in so many lists."""
        inner = faiss.IVFSearchParameters(nprobe=max(1, min(probes, self.lists)))  # type: ignore[call-arg]
        return faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]


def train(turned: Array, turn: Turn, by: int, lists: int) -> Partition:
    """Empty lists that suit turned rows like these (n, m)."""
    whole = turned[:, : turn.split - 1] + turn.mean @ turn.embedding  # on a sphere, as k-means wants them
    parts = [whole, turned[:, turn.split :]]
    bases = [axes(part, 1 - 1e-6, most=2 * CODES) for part in parts]
    seen = [part @ basis for part, basis in zip(parts, bases, strict=True)]
    means = faiss.Kmeans(seen[by].shape[1], lists, niter=_ITERATIONS, seed=_SEED, spherical=True)
    means.cp.min_points_per_centroid, means.cp.max_points_per_centroid = 1, 1 << 20
    means.train(np.ascontiguousarray(seen[by]))
    middles = [np.repeat(part.mean(axis=0, keepdims=True), lists, 0) for part in seen]
    centroids = np.asarray(means.centroids, np.float32)
    middles[by], places = centroids, np.argmax(seen[by] @ centroids.T, axis=1)
    spread = [((part - middle[places]) ** 2).mean(axis=0) for part, middle in zip(seen, middles, strict=True)]
    spread[1 - by] *= _OTHER**2
    slots = _slots(np.concatenate(spread))
    both = np.zeros((turn.size, sum(basis.shape[1] for basis in bases)), np.float32)
    both[: turn.split - 1, : bases[0].shape[1]], both[turn.split :, bases[0].shape[1] :] = bases
    chosen = np.where(slots >= 0, both[:, slots], 0.0).astype(np.float32)  # (m, 2 CODES)
    centres = np.where(slots >= 0, np.hstack(middles)[:, slots], 0.0).astype(np.float32)
    return Partition(_faiss(np.hstack([whole, turned[:, turn.split - 1 :]]), chosen, centres), turn)


def _slots(spread: Array) -> Ints:
    """(2 CODES,): which axis each number of a code stands for; −1 = none."""
    ranked = np.argsort(-spread, kind="stable")
    value = np.concatenate([spread[ranked], np.zeros(2 * CODES)])
    whole, least = float(value.sum()), (np.inf, 0)
    for alone in range(CODES + 1):
        coded = alone + 2 * (CODES - alone)
        kept, paired = float(value[:alone].sum()), float(value[alone:coded].sum())
        least = min(least, (whole - kept - paired + _ALONE * kept + _PAIRED * paired, alone))
    alone = min(least[1], len(ranked))
    slots = np.full((CODES, 2), -1)
    slots[:alone, 0] = ranked[:alone]
    rest = ranked[alone : alone + 2 * (CODES - alone)]
    half = -(-len(rest) // 2)
    slots[alone : alone + half, 0], slots[alone : alone + len(rest) - half, 1] = rest[:half], rest[half:]
    return slots.ravel()


def _faiss(rows: Array, chosen: Array, centres: Array) -> Any:
    width, lists = chosen.shape[1], len(centres)
    quantizer = faiss.IndexFlatIP(width)
    quantizer.add(centres)
    index = faiss.IndexIVFPQFastScan(quantizer, width, lists, CODES, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True
    index.train(rows @ chosen)
    index.own_fields = True
    quantizer.this.disown()  # type: ignore[attr-defined]
    turning = faiss.LinearTransform(len(chosen), width, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(chosen.T).ravel(), turning.A)
    turning.is_trained = True
    whole = faiss.IndexPreTransform(turning, index)
    whole.own_fields = True
    turning.this.disown()  # type: ignore[attr-defined]
    index.this.disown()  # type: ignore[attr-defined]
    return whole
