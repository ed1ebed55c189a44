"""A short form of each row whose inner product with a query's short form is never below the true score.

Embedding and rhythm part are turned to their principal axes (uncentred) of which the first few numbers are kept, the
head, and one more: the norm of the others. By Cauchy-Schwarz

    ⟨q, x⟩ ≤ ⟨q_head, x_head⟩ + ‖q_rest‖ ‖x_rest‖ + ‖q‖ ‖x_stray‖,

where x_stray lies in no direction that the rows had when the axes were chosen: nearly nothing, bounded over all rows.
What a query has there counts for nothing else, and a question from another kind of item has much there. The first two
terms are again one inner product, of [head ; ‖rest‖], for every λ. A scan of sketches that drops what cannot reach the
k-th score so far is therefore exact; how much it drops is the only thing that the basis decides.

Where the rhythm has no weight, λ = 1, a short head of the embedding drops too little: a second sketch, of the embedding
alone, has a wider one. (They lie apart: of a few thousand rows the first alone stays in a core's cache.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mudar.records import Array

ENERGY = (0.92, 0.985)  # share of the squared norms of embeddings and rhythm vectors that the heads keep
MORE = (0.9993, 0.999, 0.998, 0.995)  # of both, where that makes no sketch longer than
SHORT = 0.14  # of a row
_CLOSER = 0.2  # of rhythm vectors only so much of that may be lost: their spectrum ends late, and then at once
WIDE = 0.9999  # share of the embeddings' squared norms that the wide head keeps, no longer than SHORT
WORTH = 0.55  # a sketch longer than this share of a row saves too little
SPAN = 1 - 1e-9
_ROUNDING = 1e-6  # float32 projections; added to the norms so that the bound stays a bound


class Basis(NamedTuple):
    """Axes of the two parts that span the rows, (E, M) and (R, N), orthonormal; how many of the first are heads."""

    embedding: Array
    rhythm: Array
    heads: tuple[int, int]
    wide: int  # of the embedding where it counts alone, no fewer than its head

    @property
    def size(self) -> int:
        """Numbers in a sketch: the heads, and two norms."""
        return sum(self.heads) + 2


def fit(rows: Array, embed_dim: int) -> Basis | None:
    """The basis for rows like these (N, D); None when the spectrum is so flat that a sketch would not pay."""
    parts = [_spectrum(part) for part in (rows[:, :embed_dim], rows[:, embed_dim:])]
    spans = [_axes(found, SPAN) for found in parts]
    kept, room = [energy for energy, _ in parts], int(SHORT * rows.shape[1]) - 2
    longer = ((_count(kept[0], share), _count(kept[1], 1 - _CLOSER * (1 - share))) for share in MORE)
    fewest = (_count(kept[0], ENERGY[0]), _count(kept[1], ENERGY[1]))
    heads = next((heads for heads in longer if sum(heads) <= room), fewest)
    basis = Basis(spans[0], spans[1], heads, max(heads[0], min(_count(kept[0], WIDE), room)))
    return basis if basis.size <= WORTH * rows.shape[1] else None


def axes(part: Array, share: float, most: int = 1 << 30) -> Array:
    """(D, m): the fewest principal axes that hold this share of the squared norms of (N, D), `most` at most."""
    return np.ascontiguousarray(_axes(_spectrum(part), share)[:, :most])


def headed(turned: Array, head: int) -> Array:
    """(N, head + 1): of numbers along all axes (N, M) the first, and the norm of the others."""
    rest = turned[:, head:]
    norm = np.sqrt(np.einsum("nd,nd->n", rest, rest))[:, None] + np.float32(_ROUNDING)
    return np.hstack([turned[:, :head], norm])


Parts = tuple[Array, Array]  # of embeddings and of rhythm vectors


def turned(embeddings: Array, rhythms: Array, basis: Basis) -> Parts:
    """(N, M) and (N, R): the numbers along all axes."""
    return embeddings @ basis.embedding, rhythms @ basis.rhythm


def sketches(along: Parts, basis: Basis) -> Array:
    """(N, m + n + 2) for rows that were turned, or for queries whose parts carry their weights already."""
    parts = [headed(part, head) for part, head in zip(along, basis.heads, strict=True)]
    return np.ascontiguousarray(np.hstack(parts), np.float32)


def wide(along: Parts, basis: Basis) -> Array:
    """(N, wide + 1) for rows that were turned, or for queries: the same for λ = 1."""
    return np.ascontiguousarray(headed(along[0], basis.wide), np.float32)


def stray(parts: Parts, along: Parts, basis: Basis) -> float:
    """The largest norm of what a part of a row has outside of the span."""
    largest = 0.0
    for part, turn, span in zip(parts, along, basis[:2], strict=True):
        lost = part - turn @ span.T
        largest = max(largest, float(np.einsum("nd,nd->n", lost, lost).max(initial=0.0)))
    return float(np.sqrt(largest))


Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]  # cumulative shares (D,), axes (D, D), widest first


def _spectrum(part: Array) -> Spectrum:
    x = part.astype(np.float64)
    energy, found = np.linalg.eigh(x.T @ x)
    return np.cumsum(energy[::-1]) / max(float(energy.sum()), 1e-12), found[:, ::-1]


def _count(kept: NDArray[np.float64], share: float) -> int:
    return min(int(np.searchsorted(kept, share)) + 1, len(kept))


def _axes(found: Spectrum, share: float) -> Array:
    kept, axes = found
    return np.ascontiguousarray(axes[:, : _count(kept, share)], np.float32)
