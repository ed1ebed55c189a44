"""Puts job ids on the broker. The database is the truth: a broker that forgets everything loses no job.

A sorted set in Redis remembers which ids lie on the queue since when, so that maintenance can tell a lost id from a
waiting one, and so that two API processes do not send the same id twice. Knows nothing of what a job does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from mudar.errors import BrokerUnavailable
from mudar.library.protocol import ENQUEUED, JOBS_CHANNEL, QUEUE, TASK, WORKERS
from service.settings import Settings

BROKER_TIMEOUT_S = 1.0
SOFT_LIMIT_GRACE_S = 10.0
HARD_LIMIT_GRACE_S = 40.0


@dataclass(frozen=True)
class JobMessage:
    """Carries a job's id over the broker, and how long the job may take."""

    job_id: str
    limit_s: float


class Queue:
    """Sends messages: the producer's side of the broker."""

    def __init__(self, settings: Settings) -> None:
        timeouts = {"socket_connect_timeout": BROKER_TIMEOUT_S, "socket_timeout": 5.0}
        once = Retry(NoBackoff(), 1)  # a request does not wait for an absent broker: maintenance sends the id later
        self.redis = redis.Redis.from_url(settings.redis_url, decode_responses=True, retry=once, **timeouts)
        self.requeue_after_s = settings.requeue_after_s
        self.celery = Celery("mudar-front-door", broker=settings.redis_url, set_as_current=False)
        self.celery.conf.update(
            task_ignore_result=True,
            broker_connection_retry=False,
            broker_transport_options={**timeouts, "visibility_timeout": settings.visibility_timeout_s},
            task_default_queue=QUEUE,
        )

    def enqueue(self, message: JobMessage) -> bool:
        """Send the id unless it is on its way already; whether it was sent. BrokerUnavailable when Redis is away."""
        try:
            if not self.redis.zadd(ENQUEUED, {message.job_id: time.time()}, nx=True):
                return False
            try:
                self._send(message)
            except BaseException:
                self.redis.zrem(ENQUEUED, message.job_id)
                raise
        except (redis.RedisError, OperationalError, OSError) as error:
            raise BrokerUnavailable(f"Redis does not answer: {error}") from error
        return True

    def _send(self, message: JobMessage) -> None:
        # Celery's own limits are the last resort: the step notices its deadline earlier, in its progress.
        soft_s, hard_s = message.limit_s + SOFT_LIMIT_GRACE_S, message.limit_s + HARD_LIMIT_GRACE_S
        limits = {"soft_time_limit": soft_s, "time_limit": hard_s}
        about = {"task_id": message.job_id, "args": [message.job_id], "ignore_result": True}
        self.celery.send_task(TASK, queue=QUEUE, retry=False, **about, **limits)

    def enqueue_if_reachable(self, message: JobMessage) -> bool:
        """As `enqueue`, but an absent broker is no error: maintenance sends the id when it is back."""
        try:
            return self.enqueue(message)
        except BrokerUnavailable:
            return False

    def forget(self, job_ids: Iterable[str]) -> None:
        """Takes ids off the list of what is on the queue, so that they can be sent again."""
        ids = list(job_ids)
        if ids:
            self.redis.zrem(ENQUEUED, *ids)

    def forget_lost(self) -> None:
        """Takes ids off the list that were sent a while ago and lie on the queue no longer, but were not claimed.

        Messages are delivered in the order in which they were sent, so whatever was sent before the one that is
        delivered next has left the queue: a worker died between taking and claiming it, or Redis lost it.
        """
        sent_before_s = time.time() - self.requeue_after_s
        upcoming = self.redis.lindex(QUEUE, -1)
        if upcoming is not None:
            sent_s = self.redis.zscore(ENQUEUED, json.loads(upcoming)["headers"]["id"])
            sent_before_s = min(sent_before_s, sent_s or 0.0)
        self.redis.zremrangebyscore(ENQUEUED, 0, f"({sent_before_s!r}")

    def waiting(self) -> int:
        """How many messages lie on the queue."""
        return int(self.redis.llen(QUEUE))

    def announce(self, job_id: str, state: str) -> None:
        """Wakes whoever waits for this job, in this or another API process; best effort."""
        try:
            self.redis.publish(JOBS_CHANNEL, json.dumps({"id": job_id, "state": state}))
        except redis.RedisError:
            return

    def workers(self) -> dict[str, dict[str, str]]:
        """The workers that announced themselves in the last seconds: name to what it said of itself (model, device)."""
        keys = list(self.redis.scan_iter(match=f"{WORKERS}:*"))
        announced = {key.removeprefix(f"{WORKERS}:"): self.redis.get(key) for key in keys}
        return {name: json.loads(text) for name, text in announced.items() if text}

    def ping(self) -> None:
        """Raises BrokerUnavailable when Redis does not answer."""
        try:
            self.redis.ping()
        except redis.RedisError as error:
            raise BrokerUnavailable(f"Redis does not answer: {error}") from error

    def close(self) -> None:
        """Closes the connections."""
        self.celery.close()
        self.redis.close()
