"""Keeps a running job's lease: a thread renews it, writes the progress down and learns that the job must stop.

The handler only calls `progress`, which costs nothing and raises when there is a reason to stop: cancelled, item
deleted, lease lost, too late. Knows no SQL and no Celery: it is given a `beat`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from mudar.errors import JobTimeout, MudarError

log = logging.getLogger(__name__)

OVERDUE_S = 20.0  # a handler that has not stopped this long after its limit never calls `progress`

Beat = Callable[[float, str], MudarError | None]
"""Writes progress and stage down; returns the reason to stop, if there is one."""


def too_late(limit_s: float) -> JobTimeout:
    """Makes the error of a job that used up its time."""
    return JobTimeout(f"The job took longer than the {limit_s:.0f} s that its media justify.")


class LeaseHeartbeat:
    """Renews a lease from entry to exit of the block; `progress` is what the handler is given.

    A handler that goes on long after its time without calling `progress` is given up: `overdue` ends the job, the
    heartbeat stops, and Celery's hard limit then kills the process.
    """

    def __init__(
        self, beat: Beat, overdue: Callable[[], None], *, heartbeat_s: float, progress_s: float, limit_s: float
    ) -> None:
        self._beat, self._overdue = beat, overdue
        self._heartbeat_s, self._progress_s = heartbeat_s, progress_s
        self._limit_s, self._deadline = limit_s, time.monotonic() + limit_s
        self._latest = (0.0, "starting")
        self._reason: MudarError | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease heartbeat", daemon=True)

    def progress(self, fraction: float, stage: str) -> None:
        """Notes how far the job is (it never goes back); raises the reason to stop, or JobTimeout."""
        if self._reason is not None:
            raise self._reason
        if time.monotonic() > self._deadline:
            raise too_late(self._limit_s)
        self._latest = (max(self._latest[0], min(max(fraction, 0.0), 1.0)), stage)

    def _run(self) -> None:
        written, written_at = self._latest, time.monotonic()
        while not self._end.wait(self._progress_s):
            latest, now = self._latest, time.monotonic()
            if now > self._deadline + OVERDUE_S:
                self._overdue()
                return
            if latest == written and now - written_at < self._heartbeat_s:
                continue
            if self._tick(*latest):
                return
            written, written_at = latest, now

    def _tick(self, fraction: float, stage: str) -> bool:
        try:
            self._reason = self._beat(fraction, stage)
        except MudarError as error:
            self._reason = error
        except Exception as error:  # noqa: BLE001 - the database may be away for a moment; the lease allows for that
            log.warning("heartbeat not written: %s", error)
        return self._reason is not None

    def __enter__(self) -> LeaseHeartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.set()
        self._thread.join(10)
