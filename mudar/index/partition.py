"""One division of all rows into lists, by their embeddings, their rhythm vectors or both, with short codes in them.

Lists of the whole row fail at the ends of λ, where only one part counts; lists of one part fail at the other end, and
lists of both serve what lies between. So there are three divisions, and λ decides which is asked (grow.py measures it).
Codes are of what a row differs by from the middle of its list. Mostly they are 4-bit product codes (FAISS fast scan):
an axis with a wide spread has a code of its own, others share one in pairs, the narrowest are left out; how many of
each is what loses least for the λ of this division, and there are no more codes than lose little: a search waits for
the memory that they lie in. Embeddings that lie along few axes are told apart by little, and
what is found lies at the rim, where 16 levels end: lists by embeddings are few to look into, and have a byte an axis.

A row y belongs to the list whose middle c is nearest, a query q looks into those with the largest ⟨q, c⟩. FAISS asks
one quantizer both, so rows and middles have one number more, y' = T and c' = −‖c‖² / 2T, which in a query is 0:
⟨y, c⟩ + y'c' is largest where ‖y − c‖ is least. Lists of both parts weigh them: rows are multiplied by the weights,
queries divided. What has the largest product with any query lies at the rim, so k-means and codes are fitted with rows
weighted by a power of their distance from the middle of all: lists are fine where answers are, and coarse where none
is. Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.index.ranking import Ints
from mudar.index.sketch import axes
from mudar.index.turned import Turn
from mudar.records import Array


class By(NamedTuple):
    """Weights of embeddings and rhythm vectors when lists are made; how many 4-bit codes a row may have (or bytes)."""

    weights: tuple[float, float]
    codes: int = 64
    bytes: bool = False


EMBEDDING, RHYTHM, BOTH = 0, 1, 2
DIVISIONS = (By((1.0, 0.0), bytes=True), By((0.0, 1.0)), By((0.6, 0.4)))  # of both: as at λ = 0.6
_OTHER = 0.5  # weight in the codes of the part that the lists are not made by
_FEWEST_CODES, _CODES_STEP = 16, 8
_ENOUGH = 0.02  # of the variance, lost by the codes: so many do
_ALONE, _PAIRED = 0.0095, 0.1175  # what is lost of a Gaussian's variance with 16 levels, and with 4 (Max 1960)
_LEVEL = 16.0  # T
_BYTES_OF_64, _COST_OF_BYTES = 32, 4.0
_CODE_ROWS = 65_536
_MOST_AXES = 128  # of each part
_ALIGN = 16  # FAISS reads so many numbers at once
_RIM, _RIM_OF_CODES = 8.0, 4.0  # powers of the distance
_ITERATIONS = 8
_SEED = 1234


class Partition:
    """Lists of all rows. Its queries are turned rows."""

    def __init__(self, index: Any, turn: Turn) -> None:
        """index: FAISS's IndexPreTransform of an IndexIVFPQFastScan, or of an IndexIVFScalarQuantizer for bytes."""
        self.index = index
        self._lists: Any = faiss.downcast_index(index.index)
        turning: Any = faiss.downcast_VectorTransform(index.chain.at(0))
        self._axes = _row_axes(faiss.vector_to_array(turning.A).reshape(turning.d_out, turning.d_in).T, turn)

    @property
    def lists(self) -> int:
        """L."""
        return int(self._lists.nlist)

    def __len__(self) -> int:
        return int(self._lists.ntotal)

    @property
    def cost(self) -> float:
        """About what it takes to read a row's code, in that of 64 codes of 4 bits."""
        if isinstance(self._lists, faiss.IndexIVFScalarQuantizer):
            return _COST_OF_BYTES
        return 0.5 + 0.5 * self._lists.code_size / _BYTES_OF_64

    def add(self, turned: Array, numbers: Ints) -> None:
        """Append rows (n, m) under their numbers."""
        self._lists.add_with_ids(np.ascontiguousarray(turned @ self._axes), numbers)

    def remove(self, numbers: Ints) -> None:
        """Forget rows."""
        self._lists.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(numbers, np.int64)))

    def lay_out(self) -> None:
        """Put the lists side by side: they grew in turns, lie scattered in memory, and a search reads hundreds."""
        self.index = faiss.deserialize_index(self.to_bytes())
        self._lists = faiss.downcast_index(self.index.index)

    def to_bytes(self) -> NDArray[np.uint8]:
        """For a snapshot."""
        coded: NDArray[np.uint8] = faiss.serialize_index(self.index)
        return coded

    def effort(self, probes: int) -> Any:
        """FAISS's parameters for a search in so many lists."""
        inner = faiss.IVFSearchParameters(nprobe=max(1, min(probes, self.lists)))  # type: ignore[call-arg]
        return faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]


def _row_axes(query_axes: Array, turn: Turn) -> Array:
    """(m, W) that rows are multiplied with, from what queries are: weighted the other way, of whole rows, and T."""
    norms = np.square(query_axes).sum(axis=0)
    found: Array = np.divide(query_axes, np.where(norms > 0, norms, 1.0), dtype=np.float32)
    found[turn.split - 1] = turn.mean @ turn.embedding @ found[: turn.split - 1]
    found[turn.split - 1, -1] = _LEVEL
    return found


def train(turned: Array, turn: Turn, by: By, lists: int) -> Partition:
    """Empty lists that suit turned rows like these (n, m)."""
    parts = [turned[:, : turn.split - 1] + turn.mean @ turn.embedding, turned[:, turn.split :]]
    bases = [axes(part, 1 - 1e-6, most=_MOST_AXES) for part in parts]
    scales = [weight or 1.0 for weight in by.weights]
    seen = [scale * (part @ basis) for part, basis, scale in zip(parts, bases, scales, strict=True)]
    middles, places, away = _middles(seen, by, lists)
    spread = [((part - middle[places]) ** 2).mean(axis=0) for part, middle in zip(seen, middles, strict=True)]
    for part in np.flatnonzero(np.array(by.weights) == 0):
        spread[part] *= _OTHER**2
    slots = _each(np.concatenate(spread)) if by.bytes else _slots(np.concatenate(spread), by.codes)
    both = np.zeros((turn.size, sum(basis.shape[1] for basis in bases)), np.float32)
    both[: turn.split - 1, : bases[0].shape[1]] = bases[0] / scales[0]
    both[turn.split :, bases[0].shape[1] :] = bases[1] / scales[1]
    asked = np.where(slots >= 0, both[:, slots], 0.0).astype(np.float32)  # (m, W)
    centres = np.where(slots >= 0, np.hstack(middles)[:, slots], 0.0).astype(np.float32)
    centres[:, -1] = -np.einsum("lw,lw->l", centres, centres) / (2 * _LEVEL)
    likely = (away**_RIM_OF_CODES).astype(np.float64)
    some = np.random.default_rng(_SEED).choice(len(turned), min(len(turned), _CODE_ROWS), p=likely / likely.sum())
    return Partition(_faiss(turned[some] @ _row_axes(asked, turn), asked, centres, by), turn)


def _middles(seen: list[Array], by: By, lists: int) -> tuple[list[Array], Ints, Array]:
    """The middle of each list in both parts, (L, M) and (L, N); which list each row is in, how far it is out (n,)."""
    means = [np.repeat(part.mean(axis=0, keepdims=True), lists, 0) for part in seen]
    used = [place for place, weight in enumerate(by.weights) if weight]
    together = np.ascontiguousarray(np.hstack([seen[place] - means[place][0] for place in used]))
    found = faiss.Kmeans(together.shape[1], lists, niter=_ITERATIONS, seed=_SEED)
    found.cp.min_points_per_centroid, found.cp.max_points_per_centroid = 1, 1 << 20
    away = np.sqrt(np.einsum("nd,nd->n", together, together)) + np.float32(1e-9)
    away /= np.sqrt(np.square(away).mean())
    found.train(together, weights=away**_RIM)
    centroids, at = np.asarray(found.centroids, np.float32), 0
    for place in used:
        width = seen[place].shape[1]
        means[place] = means[place] + centroids[:, at : at + width]
        at += width
    nearest: Any = faiss.IndexFlatL2(together.shape[1])
    nearest.add(centroids)
    return means, nearest.search(together, 1)[1][:, 0], away


def _each(spread: Array) -> Ints:
    """(W,): every axis, and what is left over of a multiple of 16; −1 = none, as always the last."""
    width = len(spread) + 1
    return np.concatenate([np.arange(len(spread)), np.full(1 + -width % _ALIGN, -1)])


def _slots(spread: Array, most: int) -> Ints:
    """(2 codes,): which axis each number of a code stands for; −1 = none, as always the last. `most` codes or fewer."""
    ranked = np.argsort(-spread, kind="stable")
    value = np.concatenate([spread[ranked], np.zeros(2 * most)])
    for codes in range(min(_FEWEST_CODES, most), most + 1, _CODES_STEP):
        lost, alone = min((_lost(value, codes, alone), alone) for alone in range(codes + 1))
        if lost <= _ENOUGH:
            break
    alone = min(alone, len(ranked))
    slots = np.full((codes, 2), -1)
    slots[:alone, 0] = ranked[:alone]
    rest = ranked[alone : alone + max(2 * (codes - alone) - 1, 0)]
    half = -(-len(rest) // 2)
    slots[alone : alone + half, 0], slots[alone : alone + len(rest) - half, 1] = rest[:half], rest[half:]
    return slots.ravel()


def _lost(value: Array, codes: int, alone: int) -> float:
    """The share of axes' variances, widest first, that so many codes lose, `alone` of them of one axis."""
    coded = alone + max(2 * (codes - alone) - 1, 0)
    kept, paired = float(value[:alone].sum()), float(value[alone:coded].sum())
    whole = float(value.sum())
    return (whole - kept - paired + _ALONE * kept + _PAIRED * paired) / max(whole, 1e-12)


def _faiss(rows: Array, asked: Array, centres: Array, by: By) -> Any:
    width, lists = asked.shape[1], len(centres)
    quantizer = faiss.IndexFlatIP(width)
    quantizer.add(centres)
    kind, form = faiss.METRIC_INNER_PRODUCT, (quantizer, width, lists)
    index: Any = (
        faiss.IndexIVFScalarQuantizer(*form, faiss.ScalarQuantizer.QT_8bit, kind)
        if by.bytes
        else faiss.IndexIVFPQFastScan(*form, width // 2, 4, kind)
    )
    index.by_residual = True
    index.train(np.ascontiguousarray(rows))
    index.own_fields = True
    quantizer.this.disown()  # type: ignore[attr-defined]
    turning = faiss.LinearTransform(len(asked), width, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(asked.T).ravel(), turning.A)
    turning.is_trained = True
    whole = faiss.IndexPreTransform(turning, index)
    whole.own_fields = True
    turning.this.disown()  # type: ignore[attr-defined]
    index.this.disown()
    return whole
