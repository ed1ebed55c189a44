"""How many lists a search at λ looks into, and the recall that was measured there. Light: numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

LAMBDAS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FLOOR = 0.99  # what the worst λ must hold
TEN, HUNDRED = 10, 100


@dataclass
class Probes:
    """For k up to 10 and up to 100: probes per λ of LAMBDAS, and the recall per λ that they gave."""

    counts: dict[int, list[int]] = field(default_factory=dict)
    recall: dict[int, list[float]] = field(default_factory=dict)
    rows: int = 0  # rows there were when this was measured

    def at(self, lam: float, k: int) -> int:
        """The larger of the counts at the two λ beside this one; 1 << 30 (all lists) when nothing was measured."""
        counts = self.counts.get(TEN if k <= TEN else HUNDRED)
        if counts is None:
            return 1 << 30
        most = max(c for at, c in zip(LAMBDAS, counts, strict=True) if _beside(lam, at))
        return most * math.ceil(k / HUNDRED)

    def table(self) -> dict[str, int]:
        """λ: lists looked into for ten items."""
        return dict(zip(map(str, LAMBDAS), self.counts.get(TEN, []), strict=False))

    def recalls(self) -> dict[str, float]:
        """λ: measured recall of the first ten."""
        return dict(zip(map(str, LAMBDAS), self.recall.get(TEN, []), strict=False))

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot's header."""
        return {
            "counts": {str(k): v for k, v in self.counts.items()},
            "recall": {str(k): v for k, v in self.recall.items()},
            "rows": self.rows,
        }

    @staticmethod
    def from_dict(record: dict[str, Any]) -> Probes:
        """The inverse."""
        return Probes(
            {int(k): [int(c) for c in v] for k, v in record["counts"].items()},
            {int(k): [float(c) for c in v] for k, v in record["recall"].items()},
            int(record["rows"]),
        )


def _beside(lam: float, at: float) -> bool:
    below, above = max(v for v in LAMBDAS if v <= lam), min(v for v in LAMBDAS if v >= lam)
    return at in (below, above)
