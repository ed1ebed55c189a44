"""A sieve for single questions where sketches do not pay: rows in one or two bytes a number, of known error.

Both parts are turned to their principal axes, of which those without weight fall away, and rounded to whole steps.
A wide axis gets two bytes (a step of 256 and a step of 1, which are two numbers to FAISS), a narrow one gets one, so
that the step can be small; rhythm vectors lie dense and get two everywhere. A row whose rounded score lies more than
the error's norm below the k-th score cannot be among the k best. Knows numpy and FAISS.

Shapes: N rows, D their numbers, m axes of a part, B bytes a row, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from mudar.index.ranking import MARGIN, Ints
from mudar.index.sketch import axes
from mudar.records import Array

_SHARE = 1 - 1e-9
_WIDE_EMBEDDING = 0.25  # share of the embedding's axes that get two bytes
_ALIGN = 16  # FAISS reads so many numbers at once
_BLOCK_ROWS = 16_384
_SPARE = 1.5  # rows that come later may be larger than those the steps were chosen for


Allowed = NDArray[np.bool_] | None  # (N,): which rows count; None = all


class Digit(NamedTuple):
    """One part: axes (D, m), the size of a step, and how many of the first axes have two bytes."""

    axes: Array
    step: float
    wide: int

    @staticmethod
    def of(part: Array, wide_share: float) -> Digit:
        """What suits rows like these (N, D)."""
        basis = axes(part, _SHARE)
        largest = np.abs(part @ basis).max(axis=0, initial=1e-6) * _SPARE  # (m,)
        order = np.argsort(-largest, kind="stable")
        basis, largest = basis[:, order], largest[order]
        wide = int(np.ceil(wide_share * len(largest)))
        narrow = largest[wide] / 127.0 if wide < len(largest) else 0.0
        return Digit(np.ascontiguousarray(basis), float(max(narrow, largest[0] / 32_000.0)), wide)

    def bytes(self, part: Array) -> tuple[Array, Array]:
        """(N, m + wide) numbers in −128..127, and (N,) norms of what they lose."""
        number = np.rint(part @ self.axes / self.step)
        wide, narrow = np.clip(number[:, : self.wide], -32_000, 32_000), np.clip(number[:, self.wide :], -127, 127)
        high = np.floor((wide + 128.0) / 256.0)
        lost = part - (np.hstack([wide, narrow]) * np.float32(self.step)) @ self.axes.T
        return np.hstack([high, wide - 256.0 * high, narrow]), np.sqrt(np.einsum("nd,nd->n", lost, lost))

    def queries(self, part: Array) -> Array:
        """(Q, m + wide): what bytes are multiplied with."""
        number = part @ self.axes * np.float32(self.step)
        return np.hstack([256.0 * number[:, : self.wide], number])


@dataclass
class Digits:
    """All rows in bytes; `error` bounds ‖x − x̂‖ of both parts over all rows."""

    parts: tuple[Digit, Digit]
    split: int
    index: Any
    error: list[float] = field(default_factory=lambda: [0.0, 0.0])

    @staticmethod
    def of(rows: Array, split: int) -> Digits:
        """An empty sieve that suits rows like these (N, D)."""
        parts = (Digit.of(rows[:, :split], _WIDE_EMBEDDING), Digit.of(rows[:, split:], 1.0))
        width = sum(part.axes.shape[1] + part.wide for part in parts)
        index = faiss.IndexScalarQuantizer(
            width + -width % _ALIGN, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        )
        index.is_trained = True
        # FAISS's byte c stands for a + (c + 0.5) b / 255: with these, for c − 128.
        faiss.copy_array_to_vector(np.array([-128.5, 255.0], np.float32), index.sq.trained)
        return Digits(parts, split, index)

    def add(self, rows: Array) -> None:
        """Append rows (n, D)."""
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            found = [part.bytes(columns) for part, columns in zip(self.parts, self._halves(block), strict=True)]
            for place, (_, lost) in enumerate(found):
                self.error[place] = max(self.error[place], float(lost.max(initial=0.0)))
            self.index.add(self._padded([numbers for numbers, _ in found]))

    def close_up(self, holes: Ints, movers: Ints, keep: int) -> None:
        """Put the rows `movers` into `holes` and forget what lies behind the first `keep`."""
        size = self.index.code_size
        codes = faiss.rev_swig_ptr(self.index.codes.data(), self.index.ntotal * size).reshape(-1, size)
        codes[holes] = codes[movers]
        self.index.codes.resize(keep * size)
        self.index.ntotal = keep

    def search(self, queries: Array, depth: int, allowed: Allowed) -> tuple[Array, Ints]:
        """The `depth` best rows of weighted queries (Q, D): bounds that no score exceeds, rows (Q, depth)."""
        turned, margin = self._turned(queries)
        scores, rows = self.index.search(turned, depth, params=_selection(allowed))
        return scores + margin[:, None], rows

    def above(self, queries: Array, bar: float, allowed: Allowed) -> tuple[Ints, Ints]:
        """All rows whose score may reach the bar: query and row (P,)."""
        turned, margin = self._turned(queries)
        query, row, params = [], [], _selection(allowed)
        for place in range(len(queries)):
            _, _, found = self.index.range_search(turned[place : place + 1], bar - float(margin[place]), params=params)
            query.append(np.full(len(found), place))
            row.append(found)
        return np.concatenate(query), np.concatenate(row)

    def _turned(self, queries: Array) -> tuple[Array, Array]:
        margin = np.full(len(queries), 2 * MARGIN, np.float32)
        halves = self._halves(queries)
        for half, error in zip(halves, self.error, strict=True):
            margin += np.float32(1.0001 * error) * np.sqrt(np.einsum("qd,qd->q", half, half))
        return self._padded([part.queries(half) for part, half in zip(self.parts, halves, strict=True)]), margin

    def _halves(self, rows: Array) -> tuple[Array, Array]:
        return rows[:, : self.split], rows[:, self.split :]

    def _padded(self, parts: list[Array]) -> Array:
        wide = np.zeros((len(parts[0]), self.index.d), np.float32)
        at = parts[0].shape[1]
        wide[:, :at], wide[:, at : at + parts[1].shape[1]] = parts
        return wide


def _selection(allowed: Allowed) -> Any:
    if allowed is None:
        return None
    bits = np.packbits(allowed, bitorder="little")
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg, arg-type]
