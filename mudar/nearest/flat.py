"""Rows kept whole, in float32, beside sieves: short forms of them that are scanned first and lose nothing.

For single queries, bytes: each number as a signed byte, whose error has a known norm δ, so that a row whose byte score
lies more than δ below the k-th score cannot be among the k best. For many at once, sketches (sketch.py), if the
spectrum of the rows falls, as that of a trained network's does. Small collections need neither.
Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import faiss
import numpy as np

from mudar.nearest import sketch
from mudar.nearest.pairs import MARGIN, Ints
from mudar.records import Array

# FAISS hands batches above this size to BLAS; its default of 20 makes batches several times slower here.
faiss.cvar.distance_compute_blas_threshold = 2000

SIEVE_FROM_ROWS = 2_000
_BLOCK_ROWS = 16_384


class Grown:
    """(N, D) float32 that grows by doubling."""

    def __init__(self, width: int) -> None:
        self._held, self._count = np.zeros((0, width), np.float32), 0

    def rows(self) -> Array:
        """What it holds, valid until the next change."""
        return self._held[: self._count]

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all, to the row."""
        if count > len(self._held):
            larger = np.empty((count, self._held.shape[1]), np.float32)
            larger[: self._count] = self.rows()
            self._held = larger

    def add(self, rows: Array) -> None:
        """Append (n, D)."""
        count = self._count + len(rows)
        if count > len(self._held):
            self.reserve(max(count, min(2 * self._count, self._count + (1 << 18)), 1024))
        self._held[self._count : count] = rows
        self._count = count

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """Put the rows `movers` into `holes` and forget what lies behind the first `keep`."""
        self._held[holes] = self._held[movers]
        self._count = keep


@dataclass
class Sketches:
    """The sieve for rows whose spectrum falls."""

    basis: sketch.Basis
    held: Grown
    split: int

    @staticmethod
    def of(rows: Array, split: int) -> Sketches | None:
        """Empty sketches that suit rows like these (N, D), or None when they would not pay."""
        basis = sketch.fit(rows, split)
        return None if basis is None else Sketches(basis, Grown(basis.size), split)

    def short(self, rows: Array) -> Array:
        """(N, m) of rows or of weighted queries."""
        return sketch.sketches(rows[:, : self.split], rows[:, self.split :], self.basis)

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        self.held.add(self.short(rows))

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """As the rows themselves."""
        self.held.close_up(holes, movers, keep)


@dataclass
class Bytes:
    """The sieve for all others: FAISS scans bytes; `error` bounds ‖x − x̂‖ of both parts over all rows."""

    scale: Array  # (D,): what a number is multiplied by before it is rounded
    index: Any
    split: int
    error: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @staticmethod
    def of(rows: Array, split: int) -> Bytes:
        """An empty sieve whose scales suit rows like these (N, D)."""
        largest = [float(np.abs(part).max(initial=1e-6)) for part in (rows[:, :split], rows[:, split:])]
        scale = np.repeat([127.0 / value for value in largest], [split, rows.shape[1] - split])
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        return Bytes(
            scale.astype(np.float32),
            faiss.IndexScalarQuantizer(rows.shape[1], kind, faiss.METRIC_INNER_PRODUCT),
            split,
        )

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            rounded = np.clip(np.rint(block * self.scale), -127, 127)
            lost = block - rounded / self.scale
            for part, columns in enumerate((slice(None, self.split), slice(self.split, None))):
                worst = np.einsum("nd,nd->n", lost[:, columns], lost[:, columns]).max(initial=0.0)
                self.error[part] = max(self.error[part], float(np.sqrt(worst)))
            self.index.add(rounded)

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """As the rows themselves."""
        close_up(self.index, holes, movers, keep)

    def search(self, queries: Array, depth: int, params: Any) -> tuple[Array, Ints, Array]:
        """The `depth` best rows by byte score of each weighted query (Q, D): scores, rows (Q, depth), margins (Q,).

        FAISS multiplies bytes with bytes, so the queries are rounded too; a true score lies within the margin.
        """
        wide = queries / self.scale
        step = np.maximum(np.abs(wide).max(axis=1, keepdims=True), 1e-30) / 127.0
        rounded = np.rint(wide / step)
        lost = (wide - rounded * step) * self.scale  # in units of the query
        margin = np.full(len(queries), MARGIN)
        for part, columns in enumerate((slice(None, self.split), slice(self.split, None))):
            margin += self.error[part] * np.linalg.norm(queries[:, columns], axis=1)
            margin += (1.0 + self.error[part]) * np.linalg.norm(lost[:, columns], axis=1)
        scores, rows = self.index.search(rounded, depth, params=params)
        return scores * step, rows, np.asarray(margin * 1.0001, np.float32)


def close_up(index: Any, holes: Ints, movers: Ints, keep: int) -> None:
    """The same on a FAISS index of codes."""
    size = index.code_size
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * size).reshape(-1, size)
    codes[holes] = codes[movers]
    index.codes.resize(keep * size)
    index.ntotal = keep


class FlatRows:
    """N rows [E ; R] in float32, their sieve for single queries and that for many at once."""

    def __init__(self, embed_dim: int, rhythm_dim: int) -> None:
        self.split, self.dim = embed_dim, embed_dim + rhythm_dim
        self._rows = Grown(self.dim)
        self.bytes: Bytes | None = None
        self.sketches: Sketches | None = None
        self._sieved = 0  # rows when the sieves were chosen

    def __len__(self) -> int:
        return len(self._rows.rows())

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        self._rows.reserve(count)

    def add(self, rows: Array) -> None:
        """Append (n, D) float32."""
        for held in (self._rows, self.bytes, self.sketches):
            if held is not None:
                held.add(rows)

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """Put the rows `movers` into `holes` and forget what lies behind the first `keep`."""
        for held in (self._rows, self.bytes, self.sketches):
            if held is not None:
                held.close_up(holes, movers, keep)

    def vectors(self) -> Array:
        """(N, D), valid until the next change."""
        return self._rows.rows()

    @property
    def wants_sieves(self) -> bool:
        """Whether new sieves would pay: there are none yet, or the rows are four times those they were chosen for."""
        return len(self) >= max(SIEVE_FROM_ROWS, 4 * self._sieved)

    def take_sieves(self, sieves: Sieves) -> None:
        """Use these from now on; they hold the first rows of ours, in order."""
        rest = self.vectors()[sieves.count :]
        for start in range(0, len(rest), _BLOCK_ROWS):
            sieves.add(rest[start : start + _BLOCK_ROWS])
        self.bytes, self.sketches, self._sieved = sieves.bytes, sieves.sketches, len(self)


class Sieves:
    """Both sieves while they are filled; chosen to suit rows like `sample` (n, D), with room for `room` rows."""

    def __init__(self, sample: Array, split: int, room: int) -> None:
        self.bytes, self.sketches, self.count = Bytes.of(sample, split), Sketches.of(sample, split), 0
        if self.sketches is not None:
            self.sketches.held.reserve(room)

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        self.bytes.add(rows)
        if self.sketches is not None:
            self.sketches.add(rows)
        self.count += len(rows)
