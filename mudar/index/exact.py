"""Rows kept whole, in float32, beside a sieve: short forms of them that are scanned first and lose nothing.

Sketches (sketch.py), if the spectrum of the rows falls, as that of a trained network's does; else bytes (digits.py),
for single queries. Small collections need neither. Knows numpy and FAISS; a lock is its user's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from mudar.index import sketch
from mudar.index.digits import Digits
from mudar.index.gpu import Card
from mudar.index.ranking import Ints
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
    wide: Grown | None  # for λ = 1, where another would be better than the first part of `held`
    split: int
    stray: float = 0.0  # what a score may be above its bound, at most

    @staticmethod
    def of(rows: Array, split: int) -> Sketches | None:
        """Empty sketches that suit rows like these (N, D), or None when they would not pay."""
        basis = sketch.fit(rows, split)
        if basis is None:
            return None
        wide = Grown(basis.wide + 1) if basis.wide > basis.heads[0] else None
        return Sketches(basis, Grown(basis.size), wide, split)

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        for held in (self.held, self.wide):
            if held is not None:
                held.reserve(count)

    def short(self, rows: Array) -> Array:
        """(N, m) of rows or of weighted queries."""
        return sketch.sketches(sketch.turned(*self._parts(rows), self.basis), self.basis)

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        parts = self._parts(rows)
        along = sketch.turned(*parts, self.basis)
        self.held.add(sketch.sketches(along, self.basis))
        if self.wide is not None:
            self.wide.add(sketch.wide(along, self.basis))
        self.stray = max(self.stray, sketch.stray(parts, along, self.basis))

    def _parts(self, rows: Array) -> sketch.Parts:
        return rows[:, : self.split], rows[:, self.split :]

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """As the rows themselves."""
        for held in (self.held, self.wide):
            if held is not None:
                held.close_up(holes, movers, keep)


class FlatRows:
    """N rows [E ; R] in float32 and their sieve: one of the two."""

    def __init__(self, embed_dim: int, rhythm_dim: int) -> None:
        self.split, self.dim = embed_dim, embed_dim + rhythm_dim
        self._rows = Grown(self.dim)
        self.digits: Digits | None = None
        self.sketches: Sketches | None = None
        self.card: Card | None = None
        self._sieved = 0  # rows when the sieves were chosen

    def __len__(self) -> int:
        return len(self._rows.rows())

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in all."""
        self._rows.reserve(count)

    def add(self, rows: Array) -> None:
        """Append (n, D) float32."""
        for held in (self._rows, self.digits, self.sketches, self.card):
            if held is not None:
                held.add(rows)

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """Put the rows `movers` into `holes` and forget what lies behind the first `keep`."""
        self.card = None  # a card's rows do not move: they are put there anew, beside searches
        for held in (self._rows, self.digits, self.sketches):
            if held is not None:
                held.close_up(holes, movers, keep)

    def vectors(self) -> Array:
        """(N, D), valid until the next change."""
        return self._rows.rows()

    @property
    def wants_sieves(self) -> bool:
        """Whether new sieves would pay: there are none yet, or the rows are four times those they were chosen for."""
        return len(self) >= max(SIEVE_FROM_ROWS, 4 * self._sieved)

    def take_card(self, card: Card) -> None:
        """Look there first from now on; it holds the first rows of ours, in order."""
        rest = self.vectors()[len(card) :]
        for start in range(0, len(rest), _BLOCK_ROWS):
            card.add(rest[start : start + _BLOCK_ROWS])
        self.card = card

    def take_sieves(self, sieves: Sieves) -> None:
        """Use these from now on; they hold the first rows of ours, in order."""
        rest = self.vectors()[sieves.count :]
        for start in range(0, len(rest), _BLOCK_ROWS):
            sieves.add(rest[start : start + _BLOCK_ROWS])
        self.digits, self.sketches, self._sieved = sieves.digits, sieves.sketches, len(self)


class Sieves:
    """The sieve while it is filled; chosen to suit rows like `sample` (n, D), with room for `room` rows."""

    def __init__(self, sample: Array, split: int, room: int) -> None:
        self.sketches, self.count = Sketches.of(sample, split), 0
        self.digits = Digits.of(sample, split) if self.sketches is None else None
        if self.sketches is not None:
            self.sketches.reserve(room)

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        for held in (self.digits, self.sketches):
            if held is not None:
                held.add(rows)
        self.count += len(rows)
