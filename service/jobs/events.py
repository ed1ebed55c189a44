"""Wakes whoever waits for a job: one subscription to Redis in a process, any number of waiters.

A wake-up carries no data, only "read the job again"; a waiter without one reads it anyway after a second. So a lost
message or an absent Redis costs a second, never an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import redis.asyncio
from redis.exceptions import RedisError

from mudar.library.protocol import JOBS_CHANNEL

log = logging.getLogger(__name__)

POLL_S = 1.0
RECONNECT_S = 0.5


class Events:
    """Subscribes the process to `mudar:jobs`, once."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to listen; reconnects for ever."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Stops listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job changed; clear it before you read the job."""
        event = asyncio.Event()
        self._waiters[job_id].add(event)
        try:
            yield event
        finally:
            self._waiters[job_id].discard(event)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    def wake(self, job_id: str) -> None:
        """Sets the event of everybody who watches this job."""
        for event in self._waiters.get(job_id, ()):
            event.set()

    async def _listen(self) -> None:
        while True:
            try:
                async for job_id in self._changed_jobs():
                    self.wake(job_id)
            except (RedisError, OSError) as error:
                log.debug("no wake-ups from Redis: %s", error)
            await asyncio.sleep(RECONNECT_S)

    async def _changed_jobs(self) -> AsyncIterator[str]:
        client = redis.asyncio.Redis.from_url(self._redis_url, decode_responses=True, health_check_interval=10)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(JOBS_CHANNEL)
                while True:
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=5.0)
                    if message is not None:
                        yield str(json.loads(message["data"])["id"])
        finally:
            await client.aclose()


async def changed(event: asyncio.Event, timeout_s: float) -> None:
    """Returns when the event is set, or after `timeout_s` or POLL_S, whichever is first; clears the event."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), max(0.0, min(timeout_s, POLL_S)))
    event.clear()
