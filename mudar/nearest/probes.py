"""How hard a search at λ tries, and the recall that was measured there. Light: numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FLOOR = 0.99  # what the worst λ must hold
TEN, HUNDRED = 10, 100


class Effort(NamedTuple):
    """Lists that are looked into, and how many rows of them are scored again."""

    lists: int
    depth: int


EVERY = Effort(0, 0)  # look at every row
ALL_LISTS = Effort(1 << 30, 1000)


@dataclass
class Probes:
    """For k up to 10 and up to 100: the effort per λ of LAMBDAS, and the recall per λ that it gave."""

    efforts: dict[int, list[Effort]] = field(default_factory=dict)
    recall: dict[int, list[float]] = field(default_factory=dict)
    rows: int = 0  # rows there were when this was measured

    def at(self, lam: float, k: int) -> Effort:
        """The larger of the efforts at the two λ beside this one; ALL_LISTS when nothing was measured."""
        efforts = self.efforts.get(TEN if k <= TEN else HUNDRED)
        if efforts is None:
            return ALL_LISTS
        beside = [effort for at, effort in zip(LAMBDAS, efforts, strict=True) if _beside(lam, at)]
        more = math.ceil(k / HUNDRED)
        return Effort(*(more * max(numbers) for numbers in zip(*beside, strict=True)))

    def table(self) -> dict[str, list[int]]:
        """λ: lists looked into and rows scored again for ten items."""
        return {str(lam): list(effort) for lam, effort in zip(LAMBDAS, self.efforts.get(TEN, []), strict=False)}

    def recalls(self) -> dict[str, float]:
        """λ: measured recall of the first ten."""
        return dict(zip(map(str, LAMBDAS), self.recall.get(TEN, []), strict=False))

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot's header."""
        return {
            "efforts": {str(k): v for k, v in self.efforts.items()},
            "recall": {str(k): v for k, v in self.recall.items()},
            "rows": self.rows,
        }

    @staticmethod
    def from_dict(record: dict[str, Any]) -> Probes:
        """The inverse."""
        return Probes(
            {int(k): [Effort(*map(int, pair)) for pair in v] for k, v in record["efforts"].items()},
            {int(k): [float(c) for c in v] for k, v in record["recall"].items()},
            int(record["rows"]),
        )


def _beside(lam: float, at: float) -> bool:
    below, above = max(v for v in LAMBDAS if v <= lam), min(v for v in LAMBDAS if v >= lam)
    return at in (below, above)
