"""Questions that come while others are answered are answered together; each caller gets its own answer or error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.retrieve.batching import DynamicBatcher


class Doubling:
    """Doubles numbers, and remembers what came together; it waits where `gate` is shut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate, self.inside = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        self.inside.set()
        assert self.gate.wait(30)
        if 13 in numbers:
            raise OSError("no answer to any of them")
        return [ValueError(f"{n} is below 0") if n < 0 else 2 * n for n in numbers]

    async def blocked(self, batcher: DynamicBatcher[int, int], first: int) -> asyncio.Task[int]:
        """A question that is being answered until the gate opens."""
        self.gate.clear()
        self.inside.clear()
        task = asyncio.create_task(batcher.submit(first))
        await asyncio.to_thread(self.inside.wait, 30)
        return task


def test_what_waits_is_answered_together_and_in_order() -> None:
    async def check() -> None:
        answer = Doubling()
        batcher: DynamicBatcher[int, int] = DynamicBatcher(answer, max_batch_size=4, workers=1)
        first = await answer.blocked(batcher, 1)
        rest = [asyncio.create_task(batcher.submit(n)) for n in range(2, 8)]
        await asyncio.sleep(0)
        answer.gate.set()
        assert await asyncio.gather(first, *rest) == [2, 4, 6, 8, 10, 12, 14]
        assert answer.batches == [[1], [2, 3, 4, 5], [6, 7]]

    asyncio.run(check())


def test_who_was_just_answered_comes_along_with_those_who_wait() -> None:
    async def check() -> None:
        answer = Doubling()
        batcher: DynamicBatcher[int, int] = DynamicBatcher(answer, max_batch_size=4, workers=1)

        async def eager() -> list[int]:
            return [await batcher.submit(1), await batcher.submit(3)]

        answer.gate.clear()
        client = asyncio.create_task(eager())
        await asyncio.to_thread(answer.inside.wait, 30)
        patient = asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0)
        answer.gate.set()
        assert await asyncio.gather(client, patient) == [[2, 6], 4]
        assert answer.batches == [[1], [2, 3]]

    asyncio.run(check())


def test_batches_run_side_by_side() -> None:
    async def check() -> None:
        answer = Doubling()
        batcher: DynamicBatcher[int, int] = DynamicBatcher(answer, max_batch_size=4, workers=2)
        first = await answer.blocked(batcher, 1)
        second = await answer.blocked(batcher, 2)
        third = asyncio.create_task(batcher.submit(3))
        await asyncio.sleep(0.05)
        assert answer.batches == [[1], [2]]
        answer.gate.set()
        assert await asyncio.gather(first, second, third) == [2, 4, 6]

    asyncio.run(check())


def test_an_error_is_that_of_its_question_or_of_all_that_were_asked_with_it() -> None:
    async def check() -> None:
        answer = Doubling()
        batcher: DynamicBatcher[int, int] = DynamicBatcher(answer, max_batch_size=9, workers=1)
        answers = await asyncio.gather(*(batcher.submit(n) for n in (3, -3, 4)), return_exceptions=True)
        assert (answers[0], answers[2]) == (6, 8)
        assert isinstance(answers[1], ValueError)
        lost = await asyncio.gather(*(batcher.submit(n) for n in (3, 13)), return_exceptions=True)
        assert [type(one) for one in lost] == [OSError, OSError]
        assert await batcher.submit(5) == 10  # the next are answered as ever

    asyncio.run(check())


def test_who_goes_away_costs_the_others_nothing() -> None:
    async def check() -> None:
        answer = Doubling()
        batcher: DynamicBatcher[int, int] = DynamicBatcher(answer, max_batch_size=9, workers=1)
        first = await answer.blocked(batcher, 1)
        gone, stays = (asyncio.create_task(batcher.submit(n)) for n in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        answer.gate.set()
        assert await stays == 6
        assert await batcher.submit(4) == 8

    asyncio.run(check())
