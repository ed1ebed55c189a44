"""A lock for what is read all the time and changed now and then. Light: knows only threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ManyReadersOneWriter:
    """Searches run side by side; a change waits for them, and those that come later wait for it."""

    def __init__(self) -> None:
        self._gate = threading.Condition()
        self._readers = self._writers = 0

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold still what is read; do not nest."""
        with self._gate:
            self._gate.wait_for(lambda: self._writers == 0)
            self._readers += 1
        try:
            yield
        finally:
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Be alone."""
        with self._gate:
            self._writers += 1
            self._gate.wait_for(lambda: self._readers == 0)
            try:
                yield
            finally:
                self._writers -= 1
                self._gate.notify_all()
