"""Holds whose segment a row is, and when: the small columns beside the vectors.

A table never changes: adding and removing give a new one. Added rows go behind those that readers of an older table
see, in the same memory; what is removed is marked in a copy of one column. Only the newest table may be changed, by
one writer at a time. Knows numpy only. Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mudar.index.types import Bools, Ints, Seconds, SegmentIds
from mudar.records import Array

_MOST_SPARE = 1 << 18  # rows


class AppendOnly:
    """An array (N, …) that grows by doubling; what was read from it before stays as it is."""

    def __init__(self, dtype: Any, *width: int) -> None:
        self._buffer = np.empty((0, *width), dtype)

    def append(self, used: int, rows: Any) -> NDArray[Any]:
        """Puts rows behind the first `used`, and returns all of them."""
        count = used + len(rows)
        if count > len(self._buffer):
            rows_in_all = max(count, min(2 * used, used + _MOST_SPARE), 1024)
            larger = np.empty((rows_in_all, *self._buffer.shape[1:]), self._buffer.dtype)
            larger[:used] = self._buffer[:used]
            self._buffer = larger
        self._buffer[used:count] = rows
        return self._buffer[:count]


@dataclass(frozen=True)
class RowTable:
    """N rows: item code, database id of the segment, seconds, and whether the row is alive, each (N,)."""

    codes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    segment_ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    start_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    alive: Bools = field(default_factory=lambda: np.zeros(0, bool))
    dead: int = 0  # rows
    names: list[str] = field(default_factory=list)  # code → item id; grows only
    code_of: dict[str, int] = field(default_factory=dict)
    _buffers: tuple[AppendOnly, ...] = field(
        default_factory=lambda: tuple(map(AppendOnly, (np.int32, np.int64, np.float32, bool)))
    )

    @staticmethod
    def of(names: list[str], codes: Any, segment_ids: Any, start_s: Any, alive: Any) -> RowTable:
        """Makes a table of whole columns."""
        table = RowTable().appended(segment_ids, [names[code] for code in codes.tolist()], start_s)
        table.alive[:] = alive
        return replace(table, dead=int(len(table) - alive.sum()))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def live(self) -> int:
        """How many rows are alive."""
        return len(self.codes) - self.dead

    def __contains__(self, item_id: object) -> bool:
        code = self.code_of.get(item_id) if isinstance(item_id, str) else None
        return code is not None and bool((self.alive & (self.codes == code)).any())

    def item_ids(self) -> set[str]:
        """Lists the items that have at least one row."""
        return {self.names[code] for code in np.unique(self.codes[self.alive]).tolist()}

    def appended(self, segment_ids: SegmentIds, item_ids: Sequence[str], start_s: Seconds) -> RowTable:
        """Adds n rows."""
        values: tuple[Any, ...] = (self._codes(item_ids), segment_ids, start_s, np.ones(len(item_ids), bool))
        columns = [buffer.append(len(self), column) for buffer, column in zip(self._buffers, values, strict=True)]
        return replace(self, codes=columns[0], segment_ids=columns[1], start_s=columns[2], alive=columns[3])

    def without(self, item_ids: Collection[str]) -> RowTable:
        """Marks all rows of these items as dead."""
        codes = [self.code_of[item_id] for item_id in item_ids if item_id in self.code_of]
        gone = np.flatnonzero(self.alive & np.isin(self.codes, codes)) if codes else np.zeros(0, np.int64)
        if not len(gone):
            return self
        marked = self.alive.copy()
        marked[gone] = False
        buffers = (*self._buffers[:3], AppendOnly(bool))
        alive = buffers[3].append(0, marked)
        return replace(self, alive=alive, dead=self.dead + len(gone), _buffers=buffers)

    def compacted(self, chosen: Ints) -> RowTable:
        """Copies the rows of these numbers into a table of their own, in this order, dead ones too."""
        columns = (self.codes, self.segment_ids, self.start_s, self.alive)
        return RowTable.of(self.names, *(column[chosen] for column in columns))

    def allowed(self, exclude: Collection[str], allow: Collection[str] | None) -> Bools | None:
        """Says which rows may be found, (N,): alive, of items in `allow` (None = all), not in `exclude`.

        None when nothing known is asked to be left out.
        """
        if allow is None and not any(item_id in self.code_of for item_id in exclude):
            return None
        by_code = np.full(len(self.names), allow is None)
        for item_ids, value in ((allow or (), True), (exclude, False)):
            by_code[[self.code_of[item_id] for item_id in item_ids if item_id in self.code_of]] = value
        return by_code[self.codes] & self.alive

    def _codes(self, item_ids: Iterable[str]) -> list[int]:
        codes = []
        for item_id in item_ids:
            code = self.code_of.get(item_id)
            if code is None:
                code = len(self.names)
                self.names.append(item_id)  # before the dictionary: who reads a code there finds its name
                self.code_of[item_id] = code
            codes.append(code)
        return codes
