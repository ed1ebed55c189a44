"""How hard a search at λ tries, and the recall that was measured there. Light: numbers only."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FLOOR = 0.99  # what the worst λ must hold
TEN, HUNDRED = 10, 100
_ROWS_FOR_ONE = 64  # rows whose codes of 32 bytes are read in the time that one row is scored again


class Effort(NamedTuple):
    """Lists that are looked into, how many of their rows are scored again, and which division the lists are of."""

    lists: int
    depth: int
    partition: int = 0


EVERY = Effort(0, 0)  # look at every row
ALL_LISTS = Effort(1 << 30, 4000)


@dataclass
class Probes:
    """For k up to 10 and up to 100, per λ of LAMBDAS: the effort in each division, and the recall of the cheapest."""

    efforts: dict[int, list[list[Effort]]] = field(default_factory=dict)
    recall: dict[int, list[float]] = field(default_factory=dict)
    rows: int = 0  # rows there were when this was measured
    lists: int = 1
    costs: tuple[float, ...] = (4.0, 1.0, 1.0)  # of reading a row's code in each division
    _known: dict[tuple[int, int, int], Effort] = field(default_factory=dict, repr=False, compare=False)

    def cost(self, effort: Effort) -> float:
        """What a search costs, in rows whose codes are read."""
        looked_at = self.rows * min(effort.lists / self.lists, 1.0)
        return self.costs[effort.partition] * looked_at + _ROWS_FOR_ONE * effort.depth

    def at(self, lam: float, k: int) -> Effort:
        """The cheapest of what does for both λ beside this one; ALL_LISTS when nothing was measured."""
        efforts = self.efforts.get(TEN if k <= TEN else HUNDRED)
        if efforts is None:
            return ALL_LISTS
        asked = bisect_left(LAMBDAS, lam), bisect_right(LAMBDAS, lam), k
        found = self._known.get(asked)
        if found is None:
            found = self._known[asked] = self._cheapest(efforts, lam, k)
        return found

    def _cheapest(self, efforts: list[list[Effort]], lam: float, k: int) -> Effort:
        beside = [each for at, each in zip(LAMBDAS, efforts, strict=True) if _beside(lam, at)]
        each = zip(*beside, strict=True)
        best = min(
            (Effort(max(e.lists for e in of), max(e.depth for e in of), i) for i, of in enumerate(each)), key=self.cost
        )
        more = math.ceil(k / HUNDRED)
        return Effort(more * best.lists, more * best.depth, best.partition)

    def table(self) -> dict[str, list[int]]:
        """λ: lists looked into, rows scored again for ten items, and by which part the lists are."""
        return {str(lam): list(self.at(lam, TEN)) for lam in LAMBDAS} if self.efforts else {}

    def recalls(self) -> dict[str, float]:
        """λ: measured recall of the first ten."""
        return dict(zip(map(str, LAMBDAS), self.recall.get(TEN, []), strict=False))

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot's header."""
        return {
            "efforts": {str(k): v for k, v in self.efforts.items()},
            "recall": {str(k): v for k, v in self.recall.items()},
            "rows": self.rows,
            "lists": self.lists,
            "costs": list(self.costs),
        }

    @staticmethod
    def from_dict(record: dict[str, Any]) -> Probes:
        """The inverse."""
        return Probes(
            {int(k): [[Effort(*map(int, e)) for e in of] for of in v] for k, v in record["efforts"].items()},
            {int(k): [float(c) for c in v] for k, v in record["recall"].items()},
            int(record["rows"]),
            int(record["lists"]),
            tuple(map(float, record["costs"])),
        )


def _beside(lam: float, at: float) -> bool:
    below, above = max(v for v in LAMBDAS if v <= lam), min(v for v in LAMBDAS if v >= lam)
    return at in (below, above)
