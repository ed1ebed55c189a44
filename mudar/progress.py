"""Defines how long work reports its progress. A callback may raise (a cancelled job does): let it pass."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Takes the share done, 0..1, and a word for the stage."""


def ignore(fraction: float, stage: str) -> None:
    """Does nothing, for callers who do not care."""


def scaled(progress: Progress, low: float, high: float) -> Progress:
    """Returns a callback whose 0..1 falls into low..high of `progress`."""

    def report(fraction: float, stage: str) -> None:
        progress(low + (high - low) * min(max(fraction, 0.0), 1.0), stage)

    return report
