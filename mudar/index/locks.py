"""A lock for what is read all the time and changed now and then. Light: knows only threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ManyReadersOneWriter:
    """Searches run side by side; a change waits for them, and those that come later wait for it.

    Fair both ways (a phase-fair lock, Brandenburg and Anderson 2010): whoever waited for a change goes before the next
    change, so that neither a stream of searches nor one of changes keeps the other out.
    """

    def __init__(self) -> None:
        self._gate = threading.Condition()
        self._readers = self._waiting = self._due = 0  # inside; waiting; of these, those that go before the next change
        self._changes = self._phase = 0  # that want in or are in; that are done
        self._changing = False

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold still what is read; do not nest."""
        with self._gate:
            if self._changes:
                self._wait_for_a_change()
            self._readers += 1
        try:
            yield
        finally:
            with self._gate:
                self._readers -= 1
                if not self._readers:
                    self._gate.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Be alone."""
        with self._gate:
            self._changes += 1
            try:
                self._gate.wait_for(lambda: not (self._changing or self._readers or self._due))
            except BaseException:
                self._changes -= 1
                self._gate.notify_all()
                raise
            self._changing = True
        try:
            yield
        finally:
            with self._gate:
                self._changing = False
                self._changes -= 1
                self._phase += 1
                self._due = self._waiting
                self._gate.notify_all()

    def _wait_for_a_change(self) -> None:
        """Until no change wants in, or the one that was first is done."""
        came, self._waiting = self._phase, self._waiting + 1
        try:
            self._gate.wait_for(lambda: not self._changing and (self._phase != came or not self._changes))
        finally:
            self._waiting -= 1
            if self._phase != came:
                self._due -= 1
                self._gate.notify_all()
