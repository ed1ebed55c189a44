"""Defines what a handler is given to work with. Knows no queue and no job table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mudar.library.db import Session
from mudar.progress import Progress
from workers.runtime import Runtime


@dataclass
class StepContext:
    """Holds the runtime's parts, the job's items, its progress callback, and what it will leave behind.

    `write(f)`: f(session) runs in the transaction that ends the job. `keep(role, sha256)`: a file that the job made.
    """

    runtime: Runtime
    job_id: str
    item_ids: tuple[str, ...]
    progress: Progress
    writes: list[Callable[[Session], object]] = field(default_factory=list)
    blobs: dict[str, str] = field(default_factory=dict)

    def write(self, rows: Callable[[Session], object]) -> None:
        """Has these rows written when the job ends, or not at all."""
        self.writes.append(rows)

    def keep(self, role: str, sha256: str) -> None:
        """Makes this stored file belong to the job."""
        self.blobs[role] = sha256
