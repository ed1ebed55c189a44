"""Questions that come while others are answered wait for those, and are then answered together.

A lone question is answered at once; under load a batch makes itself, as large as the load: a millisecond's wait between
two batches lets those who were just answered come along, for else half of the clients wait while the others are
answered. What is done once for all of a batch (a look at the log, a statement, a pass over the rows) then costs each a
part. Knows no HTTP and no index.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

_GATHER_S = 0.001  # a client that asks again at once is back by then; a question asked of few is dearer than this

Q = TypeVar("Q")
A = TypeVar("A")


class DynamicBatcher(Generic[Q, A]):
    """Answers questions in threads, `at_once` batches of `most` questions at a time. Belongs to the loop that asks."""

    def __init__(self, answer: Callable[[Sequence[Q]], Sequence[A | Exception]], at_once: int, most: int) -> None:
        """answer: all answers in order, an exception in the place of one that has none."""
        self._answer, self._most = answer, most
        self._free = at_once
        self._threads = CapacityLimiter(at_once)  # our own: other routes may hold all of the default ones
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q) -> A:
        """The answer to one question, or its exception raised."""
        answered: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answered))
        self._begin()
        return await answered

    def _begin(self) -> None:
        if self._free and self._waiting:
            self._free -= 1
            task = asyncio.create_task(self._run())  # a turn later: what comes in this one goes along
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _end(self) -> None:
        """A thread is free: now; or, where some wait but no whole batch, once those just answered may be back."""
        if 0 < len(self._waiting) < self._most:
            asyncio.get_running_loop().call_later(_GATHER_S, self._free_one)
        else:
            self._free_one()

    def _free_one(self) -> None:
        self._free += 1
        self._begin()

    async def _run(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        answers: Sequence[A | Exception] = []
        try:
            if batch:
                asked = [question for question, _ in batch]
                answers = await to_thread.run_sync(self._answer, asked, limiter=self._threads)
        except Exception as error:  # noqa: BLE001 (handed to those who wait, raised there)
            answers = [error] * len(batch)
        finally:
            self._end()
        for (_, answered), answer in zip(batch, answers, strict=True):
            if answered.done():  # its client went away
                continue
            if isinstance(answer, Exception):
                answered.set_exception(answer)
            else:
                answered.set_result(answer)
