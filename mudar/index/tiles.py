"""A matrix product of which only the best is kept: of each run of sixteen rows and each query, the three largest.

For many queries the product of all their short forms with those of all rows is mostly a matter of writing it down and
reading it again. Here a tile of RUN rows times LANES queries is summed in registers, a query in each lane of a vector,
and what leaves them is a fifth of it. Which row was the best is told in the last four bits of its number (a relative
error of 2e-6 at most, far below what bounds leave for rounding). numba cannot be told to keep a tile in registers, so
the tile's instructions are written by llvmlite, with vectors as wide as this processor's.

Shapes: N rows, K numbers, Q queries in G groups of LANES, S runs of RUN rows.
"""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from mudar.index.jit import jitted
from mudar.records import Array

RUN: Final = 16  # rows
KEPT: Final = 3  # of a run: the best row's, the second's, and what no other row is above
_written: Any = cgutils  # it has no types
_numba: Any = config
_FEATURES: Final = _numba.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()  # as numba itself asks
_WIDE: Final = "+avx512f" in _FEATURES.split(",")
LANES: Final = 16 if _WIDE else 8  # numbers in a vector of this processor (or in two)
_SUMS: Final = 16 if _WIDE else 8  # vectors that are summed at once: of 32 registers, or of 16
_ROW_BITS: Final = RUN - 1


def packed(queries: Array) -> Array:
    """Queries (Q, K) as tiles want them: (G, K, LANES), the last group filled up with zeros."""
    groups = -(-len(queries) // LANES)
    filled = np.zeros((groups * LANES, queries.shape[1]), np.float32)
    filled[: len(queries)] = queries
    return np.ascontiguousarray(filled.reshape(groups, LANES, -1).transpose(0, 2, 1))


@jitted()
def fill(rows: Any, column: Any, first: Any, queries: Any, best: Any) -> None:
    """Into best (KEPT, G, S, LANES) the runs from row `first` on of rows (N, M), N >= RUN; queries (G, K, LANES).

    Of the rows K numbers count, from `column` on. A run that would go beyond the last row begins sooner.
    """
    groups, runs = best.shape[1], best.shape[2]
    for run in range(runs):
        start = min(first + run * RUN, len(rows) - RUN)
        for group in range(groups):
            _tile(rows[start:, column:], queries[group], best[0, group, run], best[1, group, run], best[2, group, run])


def _tiled(typingctx: Any, rows: Any, queries: Any, best: Any, second: Any, others: Any) -> Any:
    """One tile: the first RUN rows, the first K numbers of each, times queries (K, LANES); three vectors (LANES,) take
    what is kept."""
    signature = types.void(rows, queries, best, second, others)
    return signature, _write_tile


_tile: Any = intrinsic(_tiled)


def _write_tile(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    def array(place: int) -> Any:
        return context.make_array(signature.args[place])(context, builder, args[place])

    vector, whole = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
    pencil = _Pencil(builder, vector)
    rows, queries = array(0), array(1)
    (stride, _), (width, _) = (_written.unpack_tuple(builder, of, 2) for of in (rows.strides, queries.shape))
    kept: list[tuple[Any, ...]] = []
    for part in range(0, RUN, _SUMS):
        at = [_row(builder, rows.data, stride, part + r) for r in range(_SUMS)]
        sums = pencil.products(at, queries.data, width)
        for row, total in enumerate(sums, part):
            bits = builder.and_(builder.bitcast(total, whole), ir.Constant(whole, [~_ROW_BITS] * LANES))
            told = builder.or_(bits, ir.Constant(whole, [row] * LANES))
            kept.append((builder.bitcast(told, vector),))
    while len(kept) > 1:
        kept = [pencil.merged(*pair) for pair in zip(kept[::2], kept[1::2], strict=True)]
    for place, found in enumerate(kept[0], 2):
        pencil.store(found, array(place).data)
    return context.get_dummy_value()


def _row(builder: Any, data: Any, stride: Any, number: int) -> Any:
    """Where a row begins, if rows lie `stride` bytes apart."""
    base = builder.bitcast(data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(base, [builder.mul(stride, stride.type(number))]), data.type)


class _Pencil:
    """Writes instructions on vectors of LANES numbers."""

    def __init__(self, builder: Any, vector: Any) -> None:
        self._builder, self._vector = builder, vector

    def products(self, rows: list[Any], queries: Any, width: Any) -> list[Any]:
        """A vector for each row: its inner products with LANES queries, `queries` (width, LANES)."""
        builder = self._builder
        sums = [_written.alloca_once_value(builder, ir.Constant(self._vector, None)) for _ in rows]
        for total in sums:  # once more: the first is written where the function begins, and this may be in a loop
            builder.store(ir.Constant(self._vector, None), total)
        with _written.for_range(builder, width) as loop:
            query = self._load(builder.gep(queries, [builder.mul(loop.index, width.type(LANES))]))
            for row, total in zip(rows, sums, strict=True):
                number = self._splat(builder.load(builder.gep(row, [loop.index])))
                builder.store(self._call("fma", query, number, builder.load(total)), total)
        return [builder.load(total) for total in sums]

    def merged(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of two runs' largest, in order, the KEPT largest, in order."""
        first, lower = self.larger(a[0], b[0]), self.smaller(a[0], b[0])
        if len(a) == 1:
            return first, lower
        higher, lowest = self.larger(a[1], b[1]), self.smaller(a[1], b[1])
        third = self.larger(self.smaller(lower, higher), lowest)
        for rest in (*a[2:], *b[2:]):
            third = self.larger(third, rest)
        return first, self.larger(lower, higher), third

    def larger(self, a: Any, b: Any) -> Any:
        """Lane by lane."""
        return self._call("maxnum", a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        """Lane by lane."""
        return self._call("minnum", a, b)

    def store(self, value: Any, place: Any) -> None:
        """Write a vector where numbers lie."""
        self._builder.store(value, self._builder.bitcast(place, self._vector.as_pointer())).align = 4

    def _load(self, place: Any) -> Any:
        found = self._builder.load(self._builder.bitcast(place, self._vector.as_pointer()))
        found.align = 4
        return found

    def _splat(self, number: Any) -> Any:
        nothing, zero = ir.Constant(self._vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        one = self._builder.insert_element(nothing, number, zero)
        return self._builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))

    def _call(self, name: str, *values: Any) -> Any:
        kind = ir.FunctionType(self._vector, [self._vector] * len(values))
        function = _written.get_or_insert_function(self._builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return self._builder.call(function, values)
