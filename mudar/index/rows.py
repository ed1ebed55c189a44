"""Whose segment a row is, and when: the small columns beside the vectors. Knows numpy only.

Shapes: N rows; (N,) codes of items (−1 = gone), database ids of segments, seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mudar.index.ranking import Ints
from mudar.records import Array

GONE = -1


class Columns:
    """Columns that grow by doubling, and the items' names behind their codes."""

    def __init__(self) -> None:
        self._codes, self._segment_ids = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._start_s = np.zeros(0, np.float32)
        self._count = 0
        self.names: list[str] = []  # code → item id
        self.code_of: dict[str, int] = {}

    def __len__(self) -> int:
        """N, those that are gone included."""
        return self._count

    @property
    def codes(self) -> NDArray[np.int32]:
        """(N,)."""
        return self._codes[: self._count]

    @property
    def start_s(self) -> Array:
        """(N,)."""
        return self._start_s[: self._count]

    @staticmethod
    def restored(names: list[str], codes: NDArray[np.int32], segment_ids: Ints, start_s: Array) -> Columns:
        """Columns as `copies` and `names` gave them; names whose rows are all gone are forgotten."""
        columns = Columns()
        columns._codes, columns._segment_ids, columns._start_s = codes, segment_ids, start_s
        columns._count, columns.names = len(codes), names
        columns.code_of = {names[code]: code for code in np.unique(codes).tolist() if code != GONE}
        return columns

    def copies(self) -> tuple[NDArray[np.int32], Ints, Array]:
        """Codes, segment ids and seconds as they are now."""
        return self.codes.copy(), self._segment_ids[: self._count].copy(), self.start_s.copy()

    def add(self, segment_ids: Sequence[int] | Ints, item_ids: Sequence[str], start_s: Sequence[float] | Array) -> None:
        """Append n rows."""
        total = self._count + len(item_ids)
        self._reserve(total)
        self._segment_ids[self._count : total] = segment_ids
        self._start_s[self._count : total] = start_s
        self._codes[self._count : total] = [self._code(item_id) for item_id in item_ids]
        self._count = total

    def forget(self, item_ids: Collection[str]) -> Ints:
        """Forget items' names; gives the rows that were theirs, ascending."""
        codes = [self.code_of.pop(item_id) for item_id in item_ids if item_id in self.code_of]
        return np.flatnonzero(np.isin(self.codes, codes)) if codes else np.zeros(0, np.int64)

    def mark_gone(self, dead: Ints) -> None:
        """Leave gaps where these rows were."""
        self._codes[dead] = GONE

    def close_up(self, dead: Ints) -> tuple[Ints, Ints, int]:
        """Fill the holes with rows from the end, so that forgetting costs what was forgotten.

        Gives holes, the rows that moved into them, and how many rows are left.
        """
        keep = self._count - len(dead)
        alive = np.ones(self._count - keep, bool)
        alive[dead[dead >= keep] - keep] = False
        holes, movers = dead[dead < keep], keep + np.flatnonzero(alive)
        for column in (self._segment_ids, self._codes, self._start_s):
            column[holes] = column[movers]
        self._count = keep
        return holes, movers, keep

    def rows_of(self, allow: Collection[str] | None, exclude: Collection[str]) -> NDArray[np.bool_]:
        """(N,): rows of items in `allow` (None = all) and not in `exclude`."""
        wanted = np.full(len(self.names) + 1, allow is None)
        for names, value in ((allow or (), True), (exclude, False)):
            wanted[[self.code_of[name] for name in names if name in self.code_of]] = value
        wanted[GONE] = False
        return wanted[self.codes]

    def _code(self, item_id: str) -> int:
        code = self.code_of.get(item_id)
        if code is None:
            code = self.code_of[item_id] = len(self.names)
            self.names.append(item_id)
        return code

    def _reserve(self, rows: int) -> None:
        if rows > len(self._codes):
            size = max(rows, 2 * len(self._codes), 1024)
            for name in ("_segment_ids", "_codes", "_start_s"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(size - len(old), old.dtype)]))
