"""One line of the benchmark: a figure, what it is held against, and the goal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """`measured` and `peer` for people; `value` is compared with the goal; `ratio` is measured over peer."""

    what: str
    measured: str
    peer: str
    value: float
    ratio: float | None
    goal: str
    reached: bool

    def to_dict(self) -> dict[str, Any]:
        """For one JSON line."""
        return asdict(self)


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds that one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(*works: Callable[[], object], rounds: int = 3) -> list[float]:
    """The best wall seconds of each work, taken in turns so that a noisy moment hits all alike."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        best = [min(b, seconds(work)) for b, work in zip(best, works, strict=True)]
    return best
