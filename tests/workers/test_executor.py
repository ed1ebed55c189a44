"""One job from claim to end, in this process, on both databases and a real Redis."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from mudar.errors import RetargetRefused, StillVideo
from mudar.library import items, jobs, protocol
from mudar.library.blobs import BlobStore
from mudar.library.db import Database
from workers import handlers
from workers.context import StepContext
from workers.executor import run
from workers.runtime import Runtime, connect
from workers.settings import Settings


@pytest.fixture
def runtime(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    chosen = Settings(_env_file=None, data_dir=tmp_path, redis_url=redis_url, heartbeat_s=0.1, progress_s=0.02)
    database, client = Database(database_url, durable=False), connect(redis_url)
    database.migrate()
    yield Runtime(chosen, database, BlobStore(tmp_path / "blobs"), client)
    database.close()
    client.close()


def queued(runtime: Runtime, kind: str = "noop", item_ids: tuple[str, ...] = (), **params: Any) -> str:
    with runtime.database.begin() as session:
        return str(jobs.create_job(session, jobs.JobSpec(kind, params, item_ids))["id"])


def read_job(runtime: Runtime, job_id: str) -> dict[str, Any]:
    with runtime.database.read() as session:
        return jobs.get_job(session, job_id)


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Has the kind `noop` do something else."""
    return lambda function: monkeypatch.setitem(handlers.HANDLERS, "noop", function)


def test_a_job_is_run_told_of_and_taken_off_the_list(runtime: Runtime) -> None:
    job_id = queued(runtime, sleep_s=0.15)
    runtime.redis.zadd(protocol.ENQUEUED, {job_id: time.time()})
    with runtime.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(protocol.JOBS_CHANNEL)
        channel.get_message(timeout=1)
        run(runtime, job_id)
        heard = [json.loads(m["data"]) for m in iter(lambda: channel.get_message(timeout=0.3), None)]
    assert read_job(runtime, job_id)["state"] == "done"
    assert runtime.redis.zscore(protocol.ENQUEUED, job_id) is None
    assert heard[0] == {"id": job_id, "state": "running"}
    assert heard[-1] == {"id": job_id, "state": "done"}


def test_a_second_delivery_does_nothing(runtime: Runtime, step: Any) -> None:
    runs: list[str] = []
    step(lambda context, params: runs.append(context.job_id) or {})
    job_id = queued(runtime)
    run(runtime, job_id)
    run(runtime, job_id)
    assert runs == [job_id]
    assert read_job(runtime, job_id)["attempts"] == 1


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        (RetargetRefused("too far apart"), "retarget_refused", "failed"),
        (ZeroDivisionError("secret"), "mudar_error", "failed"),
        (SoftTimeLimitExceeded(), "job_timeout", "failed"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full", "failed"),
    ],
)
def test_whatever_happens_becomes_a_state(runtime: Runtime, step: Any, error: Exception, code: str, state: str) -> None:
    def broken(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        raise error

    step(broken)
    job_id = queued(runtime)
    run(runtime, job_id)
    job = read_job(runtime, job_id)
    assert (job["state"], job["error"]["code"]) == (state, code)
    assert "secret" not in json.dumps(job)


def test_a_running_job_notices_that_it_is_cancelled(runtime: Runtime, step: Any) -> None:
    def cancels_itself(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        with runtime.database.begin() as session:
            assert jobs.cancel(session, context.job_id)["state"] == "running"
        while True:
            context.progress(0.5, "working")
            time.sleep(0.01)

    step(cancels_itself)
    job_id = queued(runtime)
    run(runtime, job_id)
    assert read_job(runtime, job_id)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("params", "name"), [({"filename": "my dance.mov"}, "my dance.mov"), ({}, "Saturday"), ({"sha256": "cd" * 32}, "")]
)
def test_a_failed_job_names_the_file_as_it_was_sent(
    runtime: Runtime, step: Any, params: dict[str, Any], name: str
) -> None:
    with runtime.database.begin() as session:
        item_id = items.create_item(session, items.NewItem("ab" * 32, "dance", "Saturday", info={}))["id"]

    def fails(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        raise StillVideo(f"Nothing moves in {params.get('sha256', 'ab' * 32)}.")

    step(fails)
    job_id = queued(runtime, item_ids=(item_id,), **params)
    run(runtime, job_id)
    assert read_job(runtime, job_id)["error"]["detail"] == f"Nothing moves in {name or 'The file'}."


def test_an_item_deleted_while_its_job_runs_ends_the_job(runtime: Runtime, step: Any) -> None:
    with runtime.database.begin() as session:
        item_id = items.create_item(session, items.NewItem("ab" * 32, "dance", info={"duration_s": 3.0}))["id"]

    def loses_its_item(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        with runtime.database.begin() as session:
            items.delete_item(session, item_id)
        while True:
            context.progress(0.5, "working")
            time.sleep(0.01)

    step(loses_its_item)
    job_id = queued(runtime, item_ids=(item_id,))
    run(runtime, job_id)
    job = read_job(runtime, job_id)
    assert (job["state"], job["error"]["code"]) == ("failed", "item_deleted")


def test_a_worker_that_was_thought_dead_can_store_nothing(runtime: Runtime, step: Any) -> None:
    """Its lease runs out, another one ends the job, then it comes back with rows of its own."""
    stored: list[str] = []

    def sleeps_too_long(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        with runtime.database.begin() as session:
            assert jobs.requeue_expired(session, now=time.time() + 60).enqueue == [context.job_id]
            other = jobs.claim(session, context.job_id, "other")
            assert other is not None
            jobs.finish(session, context.job_id, other.token, {"by": "other"})
        context.write(lambda session: stored.append("in a transaction that is rolled back"))
        context.write(lambda session: items.create_item(session, items.NewItem("cd" * 32, "dance")))
        return {"by": "late"}

    step(sleeps_too_long)
    job_id = queued(runtime)
    run(runtime, job_id)
    assert read_job(runtime, job_id)["result"] == {"by": "other"}
    with runtime.database.read() as session:
        assert items.count_items(session)["dance"] == 0


def test_rows_and_end_are_one_event(runtime: Runtime, step: Any) -> None:
    """When a row cannot be written, neither can the end; the job says why."""

    def writes_badly(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        context.write(lambda session: items.create_item(session, items.NewItem("ef" * 32, "dance")))
        context.write(lambda session: items.delete_item(session, "dance-that-is-not-there"))
        return {}

    step(writes_badly)
    job_id = queued(runtime)
    run(runtime, job_id)
    assert read_job(runtime, job_id)["error"]["code"] == "unknown_item"
    with runtime.database.read() as session:
        assert items.count_items(session)["dance"] == 0


def test_without_redis_a_job_still_ends(runtime: Runtime) -> None:
    runtime.redis = connect("redis://127.0.0.1:1/0")
    job_id = queued(runtime)
    run(runtime, job_id)
    assert read_job(runtime, job_id)["state"] == "done"
