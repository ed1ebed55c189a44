"""A short form of each row whose inner product with a query's short form is never below the true score.

Embedding and rhythm part are turned by an orthonormal basis each (uncentred principal axes), only the first few
numbers are kept, and one more: the norm of what was cut off. By Cauchy-Schwarz

    ⟨q, x⟩ ≤ ⟨q_head, x_head⟩ + ‖q_rest‖ ‖x_rest‖,

and the right side is again one inner product, of [head ; ‖rest‖], for every λ. A scan of sketches that drops what
cannot reach the k-th score so far is therefore exact; how much it drops is the only thing that the basis decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mudar.records import Array

ENERGY = 0.985  # share of the squared norms that the heads keep
WORTH = 0.55  # a sketch longer than this share of a row saves too little
_ROUNDING = 1e-5  # float32 projections; added to the norms so that the bound stays a bound


class Basis(NamedTuple):
    """Axes of the two parts: (E, m) and (R, n), each orthonormal."""

    embedding: Array
    rhythm: Array

    @property
    def size(self) -> int:
        """Numbers in a sketch: m + n heads, and two norms."""
        return self.embedding.shape[1] + self.rhythm.shape[1] + 2


def fit(rows: Array, embed_dim: int) -> Basis | None:
    """The basis for rows like these (N, D); None when the spectrum is so flat that a sketch would not pay."""
    basis = Basis(axes(rows[:, :embed_dim], ENERGY), axes(rows[:, embed_dim:], ENERGY))
    return basis if basis.size <= WORTH * rows.shape[1] else None


def axes(part: Array, share: float, most: int = 1 << 30, even: bool = False) -> Array:
    """(D, m): the fewest principal axes that hold this share of the squared norms of (N, D), `most` at most."""
    x = part.astype(np.float64)
    energy, found = np.linalg.eigh(x.T @ x)
    kept = np.cumsum(energy[::-1]) / max(float(energy.sum()), 1e-12)
    count = min(int(np.searchsorted(kept, share)) + 1, part.shape[1], most)
    count = count // 2 * 2 or 2 if even else count
    return np.ascontiguousarray(found[:, ::-1][:, :count], np.float32)


def sketches(embeddings: Array, rhythms: Array, basis: Basis) -> Array:
    """(N, m + n + 2) for rows, or for queries whose parts carry their weights already."""
    parts = []
    for part, axes in ((embeddings, basis.embedding), (rhythms, basis.rhythm)):
        head = part @ axes
        whole, kept = (np.einsum("nd,nd->n", x, x, dtype=np.float64) for x in (part, head))
        parts += [head, np.sqrt(np.maximum(whole - kept, 0.0) + _ROUNDING**2)[:, None] + _ROUNDING]
    return np.ascontiguousarray(np.hstack(parts), np.float32)
