"""One line of the benchmark: a figure, what it is held against, and the goal."""

from __future__ import annotations

import resource
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


def cpu_seconds(work: Callable[[], object]) -> float:
    """Core seconds that one call takes, in this process and in those that it started and waited for."""
    started = _cpu()
    work()
    return _cpu() - started


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def in_turns(
    *works: Callable[[], object], rounds: int = 3, clock: Callable[[Callable[[], object]], float] = seconds
) -> list[float]:
    """The best seconds of each work by the clock, taken in turns so that a noisy moment hits all alike."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        best = [min(b, clock(work)) for b, work in zip(best, works, strict=True)]
    return best
