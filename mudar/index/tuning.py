"""Holds how hard an approximate search at λ must try, and the recall that was measured there.

In FAISS's words: an operating point is the cheapest setting of `nprobe` and `refine_k` that reaches the wanted recall.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FLOOR = 0.99  # the recall that the worst λ must hold
TEN, HUNDRED = 10, 100  # items that recall is measured with
_ROWS_FOR_ONE = 64  # rows whose 4-bit codes are read in the time that one row is scored again


class SearchParams(NamedTuple):
    """Lists to probe, rows to score again from float16, and the IVF index (by E, by R, by both) to search."""

    nprobe: int
    refine_k: int
    by: int = 0


ALL_ROWS = SearchParams(0, 0)  # score every row
ALL_LISTS = SearchParams(1 << 30, 4000)


@dataclass(frozen=True)
class OperatingPoints:
    """For 10 and for 100 items, per λ of LAMBDAS: SearchParams for each IVF index, and the recall of the cheapest.

    rows: how many there were when this was measured; lists of each index; costs of reading a code of each index.
    """

    params: dict[int, list[list[SearchParams]]] = field(default_factory=dict)
    recall: dict[int, list[float]] = field(default_factory=dict)
    rows: int = 0
    lists: int = 1
    costs: tuple[float, ...] = (4.0, 1.0, 1.0)  # lists by embeddings hold 8 bits a number, the others 2

    def cost(self, params: SearchParams) -> float:
        """Estimates what a search costs, in 4-bit codes that are read."""
        read = self.rows * min(params.nprobe / self.lists, 1.0)
        return self.costs[params.by] * read + _ROWS_FOR_ONE * params.refine_k

    def at(self, lam: float, k: int) -> SearchParams:
        """Chooses the cheapest of what suffices for both measured λ beside this one; ALL_LISTS if none was measured."""
        measured = self.params.get(TEN if k <= TEN else HUNDRED)
        if measured is None:
            return ALL_LISTS
        beside = measured[max(bisect_right(LAMBDAS, lam) - 1, 0) : bisect_left(LAMBDAS, lam) + 1]
        enough = (
            SearchParams(max(p.nprobe for p in each), max(p.refine_k for p in each), by)
            for by, each in enumerate(zip(*beside, strict=True))
        )
        best, more = min(enough, key=self.cost), math.ceil(k / HUNDRED)
        return SearchParams(more * best.nprobe, more * best.refine_k, best.by)

    def table(self) -> dict[str, list[int]]:
        """Lists SearchParams for ten items by λ."""
        return {str(lam): list(self.at(lam, TEN)) for lam in LAMBDAS} if self.params else {}

    def recalls(self) -> dict[str, float]:
        """Lists the measured recall of ten items by λ."""
        return dict(zip(map(str, LAMBDAS), self.recall.get(TEN, []), strict=False))

    def to_dict(self) -> dict[str, Any]:
        """Gives what a snapshot's header holds."""
        params, recall = ({str(k): v for k, v in part.items()} for part in (self.params, self.recall))
        return {"params": params, "recall": recall, "rows": self.rows, "lists": self.lists, "costs": list(self.costs)}

    @staticmethod
    def from_dict(record: dict[str, Any]) -> OperatingPoints:
        """Reverses `to_dict`."""
        return OperatingPoints(
            {int(k): [[SearchParams(*map(int, p)) for p in each] for each in v] for k, v in record["params"].items()},
            {int(k): [float(share) for share in v] for k, v in record["recall"].items()},
            int(record["rows"]),
            int(record["lists"]),
            tuple(map(float, record["costs"])),
        )
