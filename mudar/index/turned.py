"""Rows without the directions that none of them takes: fewer numbers, the same inner products.

A network's embedding has often more numbers than directions (256 from a layer of 128; a rhythm vector of 64 lags from
a curve of 15 frames a second has 32). Both parts are turned by an orthonormal basis of the directions that hold all but
1e-9 of the squared norms, mixed at random so that no number is large, and kept in float16. Embeddings lie on a cone:
what differs between them is small, so it is kept without their mean, whose product with the query is one number more:

    ⟨e, x⟩ = ⟨[Pᵀe ; ⟨e, μ⟩], [Pᵀ(x − μ) ; 1]⟩.

Knows numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mudar.index.ranking import Questions
from mudar.index.sketch import axes
from mudar.records import Array

_SHARE = 1 - 1e-9
_WORTH = 0.8  # of the numbers; else rows stay as they are
_ALIGN = 16  # FAISS reads so many numbers at once
_SEED = 11


class Turn(NamedTuple):
    """(E, m) and (R, n): orthonormal columns, and perhaps columns of zeros; μ (E,)."""

    embedding: Array
    rhythm: Array
    mean: Array

    @property
    def split(self) -> int:
        """Numbers of a turned embedding."""
        return self.embedding.shape[1] + 1

    @property
    def size(self) -> int:
        """Numbers of a turned row."""
        return self.split + self.rhythm.shape[1]

    def __call__(self, rows: Array) -> Array:
        """(N, D) → (N, m + 1 + n)."""
        at, one = len(self.embedding), np.ones((len(rows), 1), np.float32)
        return np.hstack([(rows[:, :at] - self.mean) @ self.embedding, one, rows[:, at:] @ self.rhythm])

    def back(self, rows: NDArray[np.float16]) -> Array:
        """(N, m + 1 + n) → (N, D)."""
        wide = rows.astype(np.float32)
        embeddings = wide[:, : self.split - 1] @ self.embedding.T + self.mean
        return np.hstack([embeddings, wide[:, self.split :] @ self.rhythm.T])

    def questions(self, asked: Questions) -> Questions:
        """The same questions of turned rows."""
        embeddings = np.hstack([asked.embeddings @ self.embedding, asked.embeddings @ self.mean[:, None]])
        return Questions(embeddings, asked.rhythms @ self.rhythm, asked.start_s, asked.group, asked.lam)

    def outside(self, rows: Array, turned: Array) -> float:
        """The largest squared norm of what is lost of a part of a row."""
        at = len(self.embedding)
        parts = (rows[:, :at] - self.mean, turned[:, : self.split - 1]), (rows[:, at:], turned[:, self.split :])
        norms = [np.einsum("nd,nd->n", whole, whole) - np.einsum("nd,nd->n", kept, kept) for whole, kept in parts]
        return float(max(norm.max(initial=0.0) for norm in norms))


def fit(sample: Array, embed_dim: int) -> Turn:
    """The turn for rows like these (n, D)."""
    parts = (sample[:, :embed_dim], sample[:, embed_dim:])
    found = [axes(part, _SHARE) for part in parts]
    if sum(part.shape[1] for part in found) > _WORTH * sample.shape[1]:
        found = [np.eye(part.shape[1], dtype=np.float32) for part in parts]
    else:
        rng = np.random.default_rng(_SEED)
        for place, basis in enumerate(found):
            mixed = np.linalg.qr(rng.normal(size=(basis.shape[1],) * 2))[0]
            found[place] = (basis.astype(np.float64) @ mixed).astype(np.float32)
    spare = np.zeros((sample.shape[1] - embed_dim, -(1 + sum(part.shape[1] for part in found)) % _ALIGN), np.float32)
    return Turn(found[0], np.hstack([found[1], spare]), parts[0].mean(axis=0))
