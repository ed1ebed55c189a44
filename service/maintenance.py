"""The API's quiet tasks: jobs that the broker lost are queued again, files that nobody needs are removed.

Each API replica runs them; the database and the queue's list make a second sweep harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import redis
from starlette.concurrency import run_in_threadpool

from mudar.errors import BrokerUnavailable, UnknownModel
from mudar.library import jobs
from mudar.library.blob_gc import collect_garbage
from service.container import Container
from service.jobs.queue import JobMessage

log = logging.getLogger(__name__)


class Background:
    """Starts and stops the tasks."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.tasks: list[asyncio.Task[None]] = []
        self.queued_before: set[str] = set()

    def start(self) -> None:
        """Begin all of them, in the running loop."""
        told = self.container.settings
        for work, every_s in ((self.sweep, told.sweep_s), (self.tidy, told.tidy_s), (self.warm, told.sweep_s)):
            self.tasks.append(asyncio.create_task(self._repeat(work, every_s)))

    async def stop(self) -> None:
        """End them, and leave snapshots of the indexes behind."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        await run_in_threadpool(self.container.indexes.stop)

    async def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        quiet = True
        while True:
            try:
                await run_in_threadpool(work)
                quiet = True
            except Exception:  # an edge: whatever is away now may be back at the next turn
                log.log(logging.WARNING if quiet else logging.DEBUG, "%s failed", work.__name__, exc_info=True)
                quiet = False
            await asyncio.sleep(every_s)

    def sweep(self) -> None:
        """Leases that ran out go back to the queue; queued jobs that the broker does not hold are sent again."""
        container = self.container
        with container.database.begin() as session:
            swept = jobs.requeue_expired(session)
        with suppress(BrokerUnavailable, redis.RedisError):
            container.queue.forget([*swept.enqueue, *swept.ended])
            container.queue.forget_lost()
            for job_id in self._overlooked(swept.enqueue):
                container.queue.enqueue(JobMessage(job_id, container.settings.longest_limit_s))
        for job_id in swept.ended:
            container.queue.announce(job_id, "failed")

    def _overlooked(self, expired: list[str]) -> list[str]:
        """Queued jobs that were there at the last sweep too: a newer one is still on its way from its own request."""
        with self.container.database.read() as session:
            queued = jobs.queued_jobs(session)
        known, self.queued_before = self.queued_before.union(expired), set(queued)
        return [job_id for job_id in queued if job_id in known]

    def tidy(self) -> None:
        """Jobs that ended long ago are forgotten, then the files that nobody needs any more."""
        container = self.container
        with container.database.begin() as session:
            jobs.forget_jobs(session, container.settings.keep_jobs_s)
        collect_garbage(container.database, container.blobs)

    def warm(self) -> None:
        """The served model's index is there before somebody asks."""
        with suppress(UnknownModel):
            self.container.indexes.of(self.container.shelf.resolve(None))
