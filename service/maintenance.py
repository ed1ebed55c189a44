"""Runs the API's background tasks: requeues jobs that the broker lost, removes files that nobody needs.

Each API process runs them; the database and the queue's own set make a second run harmless.
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


class Maintenance:
    """Starts and stops the tasks."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.tasks: list[asyncio.Task[None]] = []
        self.queued_before: set[str] = set()

    def start(self) -> None:
        """Starts all of them in the running loop."""
        sweep_s, cleanup_s = self.container.settings.sweep_s, self.container.settings.cleanup_interval_s
        for work, every_s in (
            (self.requeue_lost_jobs, sweep_s),
            (self.purge_expired, cleanup_s),
            (self.preload_index, sweep_s),
        ):
            self.tasks.append(asyncio.create_task(self._repeat(work, every_s)))

    async def stop(self) -> None:
        """Ends them, and leaves snapshots of the indexes behind."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        await run_in_threadpool(self.container.indexes.stop)

    async def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        failed_before = False
        while True:
            try:
                await run_in_threadpool(work)
                failed_before = False
            except Exception:  # an edge: whatever is away now may be back at the next turn
                level = logging.DEBUG if failed_before else logging.WARNING
                log.log(level, "%s failed", work.__name__, exc_info=True)
                failed_before = True
            await asyncio.sleep(every_s)

    def requeue_lost_jobs(self) -> None:
        """Requeues jobs whose lease ran out, and sends queued jobs again that the broker does not hold."""
        container = self.container
        with container.database.begin() as session:
            expired = jobs.requeue_expired(session)
        with suppress(BrokerUnavailable, redis.RedisError):
            container.queue.forget([*expired.enqueue, *expired.ended])
            container.queue.forget_lost()
            for job_id in self._not_on_their_way(expired.enqueue):
                container.queue.enqueue(JobMessage(job_id, container.settings.longest_limit_s))
        for job_id in expired.ended:
            container.queue.announce(job_id, "failed")

    def _not_on_their_way(self, expired: list[str]) -> list[str]:
        """Queued jobs that were queued at the last run too: a newer one is still being sent by its own request."""
        with self.container.database.read() as session:
            queued = jobs.queued_jobs(session)
        known, self.queued_before = self.queued_before.union(expired), set(queued)
        return [job_id for job_id in queued if job_id in known]

    def purge_expired(self) -> None:
        """Deletes jobs that ended long ago, then the files that nobody needs any more."""
        container = self.container
        with container.database.begin() as session:
            jobs.forget_jobs(session, container.settings.job_retention_s)
        collect_garbage(container.database, container.blobs)

    def preload_index(self) -> None:
        """Opens the served model's index before the first search needs it."""
        with suppress(UnknownModel):
            self.container.indexes.of(self.container.catalog.resolve(None))
