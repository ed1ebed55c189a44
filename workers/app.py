"""Makes the Celery application: `celery -A workers.app worker`. Work is in handlers/, state in the database.

Messages carry job ids. A message is acknowledged after its job and comes back when the process dies, but nothing rests
on that: leases in the job table do (mudar/library/jobs.py). The parent process never loads torch nor touches CUDA.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from mudar.library import protocol
from workers.settings import Settings
from workers.settings import settings as read_settings


def make(settings: Settings) -> Celery:
    """Makes the application for these settings."""
    application = Celery("mudar", broker=settings.redis_url, include=["workers.tasks"])
    application.conf.update(
        task_default_queue=protocol.QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_pool_start_method="spawn" if settings.device == "cuda" else "fork",  # CUDA does not survive a fork
        worker_proc_alive_timeout=settings.worker_start_s,
        worker_max_memory_per_child=settings.worker_memory_mb * 1000,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        accept_content=["json"],
        task_serializer="json",
    )
    return application


app = make(read_settings())


@worker_process_init.connect
def prepare(**_: Any) -> None:
    """Prepares each worker process before its first job: loads the model, then announces the process."""
    from workers.runtime import start

    start()
