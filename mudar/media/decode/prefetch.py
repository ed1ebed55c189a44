"""Runs a generator ahead in a thread of its own, by a bounded number of items. Knows nothing of media."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar, cast

T = TypeVar("T")
_POLL_S = 0.1


class _End:
    """Marks the end of the items, with the error that ended them, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetcher(Generic[T]):
    """Yields the items of `produce()` in order, made in a thread at most `depth` ahead; to be iterated once.

    An error of the generator is raised at its place in the order. Leaving the `with` block stops the thread, closes
    the generator, and waits for both.
    """

    def __init__(self, produce: Callable[[], Iterator[T]], depth: int) -> None:
        self._produce = produce
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Prefetcher[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if self._stop.is_set():
                    return
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _run(self) -> None:
        error: BaseException | None = None
        items = self._produce()
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as caught:  # noqa: BLE001 (handed to the consumer, raised there)
            error = caught
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                cast(Callable[[], None], close)()
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
