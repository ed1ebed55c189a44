"""Announces that this worker process is alive: a key in Redis that expires soon after the process stops renewing it."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from typing import Any

import redis

from mudar.library.protocol import WORKERS

log = logging.getLogger(__name__)

EVERY_S = 2.0
ALIVE_S = 15


def worker_name() -> str:
    """Names this process as host:pid, the holder of a lease in the job table."""
    return f"{socket.gethostname()}:{os.getpid()}"


def announce(redis_url: str, about: dict[str, Any]) -> threading.Thread:
    """Starts a thread that announces `about` for as long as this process lives; it retries an absent Redis."""

    def run() -> None:
        client = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        while True:
            try:
                client.set(f"{WORKERS}:{worker_name()}", json.dumps(about), ex=ALIVE_S)
            except redis.RedisError as error:
                log.debug("presence not announced: %s", error)
            time.sleep(EVERY_S)

    thread = threading.Thread(target=run, name="presence", daemon=True)
    thread.start()
    return thread
