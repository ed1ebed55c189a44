"""Vectors to measure retrieval with: not real ones, but shaped like them.

Embeddings lie in a space of fewer dimensions than they have numbers (they come from a layer of 128), with a spectrum
that falls; there are some thousand styles, items within a style, and segments of one item near each other. Rhythm
vectors are what mudar.tempo makes of a pulse train: cosines over log-spaced lags at the item's tempo, with noise.
`flat=True` gives the opposite, uniform directions, on which nothing can be skipped. Queries are segments of items
that are not in the library, of the same styles, with the noise of the other modality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.retrieve import HybridIndex, Query
from mudar.tempo import lags_s

Array = NDArray[np.float32]
RANK, STYLES, SEGMENTS = 128, 4000, 6
RHYTHM_DIM = 64


@dataclass(frozen=True)
class Vectors:
    """N rows of N / 6 items, and 200 queries."""

    embeddings: Array
    rhythms: Array
    item: NDArray[np.int64]  # (N,)
    query_embeddings: Array
    query_rhythms: Array

    @property
    def dim(self) -> int:
        """D."""
        return self.embeddings.shape[1] + self.rhythms.shape[1]

    def names(self) -> list[str]:
        """Item ids of the rows, whose order is that of the numbers."""
        return [f"dance-{number:09d}" for number in self.item]

    def query(self, number: int) -> Query:
        """One query of one segment."""
        return Query(
            self.query_embeddings[number : number + 1], self.query_rhythms[number : number + 1], np.zeros(1, np.float32)
        )

    def index(self) -> HybridIndex:
        """All rows, exact."""
        index, names, count = HybridIndex(self.embeddings.shape[1], RHYTHM_DIM), self.names(), len(self.item)
        for start in range(0, count, 50_000):
            part = slice(start, start + 50_000)
            rows = np.arange(count)[part]
            index.add(rows, names[part], self.embeddings[part], self.rhythms[part], 4.0 * (rows % SEGMENTS))
        return index


def make(count: int, embed_dim: int, queries: int = 200, flat: bool = False, seed: int = 0) -> Vectors:
    """N = `count` rows of `embed_dim` + 64 numbers."""
    rng = np.random.default_rng(seed)
    item = np.arange(count) // SEGMENTS
    if flat:
        parts = [_unit(rng.normal(size=(n, d)).astype(np.float32)) for n in (count, queries) for d in (embed_dim, 64)]
        return Vectors(parts[0], parts[1], item, parts[2], parts[3])
    basis = np.linalg.qr(rng.normal(size=(embed_dim, RANK)))[0].T * (np.arange(1, RANK + 1) ** -0.5)[:, None]
    styles, tempi = rng.normal(size=(STYLES, RANK)), rng.uniform(85, 150, STYLES)
    e, r = _segments(rng, basis, styles, tempi, item, 0.0)
    q, s = _segments(rng, basis, styles, tempi, np.arange(queries), 0.4)
    return Vectors(e, r, item, q, s)


def _segments(
    rng: np.random.Generator,
    basis: NDArray[np.float64],
    styles: NDArray[np.float64],
    tempi: NDArray[np.float64],
    item: NDArray[np.int64],
    noise: float,
) -> tuple[Array, Array]:
    items = int(item.max()) + 1
    style = rng.integers(0, STYLES, items)
    place = (styles[style] + 0.6 * rng.normal(size=(items, RANK))).astype(np.float32)
    bpm, swing = tempi[style] + rng.normal(size=items) * 6, rng.uniform(0.2, 1, (items, 4)).astype(np.float32)
    lags, basis32 = lags_s(RHYTHM_DIM).astype(np.float32), basis.astype(np.float32)
    embeddings, rhythms = [], []
    for start in range(0, len(item), 50_000):
        mine = item[start : start + 50_000]
        z = place[mine] + (0.35 + noise) * rng.standard_normal((len(mine), RANK), np.float32)
        embeddings.append(_unit(z @ basis32))
        turns = 2 * np.pi * lags / (60 / bpm[mine, None] * (1 + 0.01 * rng.normal(size=(len(mine), 1)))).astype("f4")
        repeats = sum(swing[mine, h : h + 1] * np.cos((h + 1) / 2 * turns) for h in range(4))
        rhythms.append(_unit(repeats + (0.1 + 0.2 * noise) * rng.standard_normal((len(mine), RHYTHM_DIM), np.float32)))
    return np.concatenate(embeddings), np.concatenate(rhythms)


def _unit(x: Array) -> Array:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
