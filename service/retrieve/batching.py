"""Batches requests dynamically: those that come while a batch is answered wait, and form the next one.

A lone request is answered at once; under load a batch grows with the load: a pause of a millisecond between two batches
lets clients that were just answered ask again and come along, for else half of the clients wait while the others are
answered. What is done once for a batch (reading the log, a statement, a pass over the rows) then costs each request a
part. Knows no HTTP and no index.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

BATCH_TIMEOUT_S = 0.001  # a client that asks again at once is back by then; longer would cost few clients more

Q = TypeVar("Q")
A = TypeVar("A")


class DynamicBatcher(Generic[Q, A]):
    """Answers requests in threads, up to `max_batch_size` in a batch. Belongs to the event loop that submits."""

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A | Exception]],
        *,
        max_batch_size: int,
        workers: int,
        batch_timeout_s: float = BATCH_TIMEOUT_S,
    ) -> None:
        """answer: all answers in order, an exception in the place of one that has none; `workers` run side by side."""
        self._answer, self._max_batch_size, self._batch_timeout_s = answer, max_batch_size, batch_timeout_s
        self._idle_workers = workers
        self._threads = CapacityLimiter(workers)  # our own: other routes may occupy all of the default ones
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, request: Q) -> A:
        """The answer to one request, or its exception raised."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._start_worker()
        return await answer

    def _start_worker(self) -> None:
        if self._idle_workers and self._waiting:
            self._idle_workers -= 1
            task = asyncio.create_task(self._run())  # a turn later: what comes in this one goes along
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _finish_worker(self) -> None:
        """Frees a worker: now; or, where some wait but no full batch, once those just answered may be back."""
        if 0 < len(self._waiting) < self._max_batch_size:
            asyncio.get_running_loop().call_later(self._batch_timeout_s, self._free_worker)
        else:
            self._free_worker()

    def _free_worker(self) -> None:
        self._idle_workers += 1
        self._start_worker()

    async def _run(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._max_batch_size, len(self._waiting)))]
        answers: Sequence[A | Exception] = []
        try:
            if batch:
                requests = [request for request, _ in batch]
                answers = await to_thread.run_sync(self._answer, requests, limiter=self._threads)
        except Exception as error:  # noqa: BLE001 (handed to those who wait, raised there)
            answers = [error] * len(batch)
        finally:
            self._finish_worker()
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # its client went away
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
