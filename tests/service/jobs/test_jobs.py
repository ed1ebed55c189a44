"""Jobs over HTTP, with no worker: waiting, following, cancelling, and a broker that is away."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mudar.library import jobs
from service.cli.up.supervisor import free_port, redis_program, wait_for_redis
from service.jobs.queue import ENQUEUED, QUEUE
from tests.waiting import wait_until


def noop(api: Any) -> str:
    """A queued job."""
    answer = api.http.post("/jobs/noop")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    return str(answer.json()["job_id"])


def work(api: Any, job_id: str, *, progress: float | None = None) -> Callable[[], None]:
    """Plays the worker by hand: claims, beats once; the returned function finishes."""
    with api.container.database.begin() as session:
        claim = jobs.claim(session, job_id, "by hand")
        assert claim is not None
        if progress is not None:
            jobs.heartbeat(session, claim, progress, "dancing")

    def finish() -> None:
        with api.container.database.begin() as session:
            jobs.finish(session, job_id, claim.token, {"well": True})
        api.container.queue.announce(job_id, "done")

    return finish


def test_a_queued_job_lies_on_the_broker_once(api: Any) -> None:
    job_id = noop(api)
    waiting = [json.loads(message) for message in api.container.queue.redis.lrange(QUEUE, 0, -1)]
    mine = [message for message in waiting if job_id in message["headers"]["argsrepr"]]
    assert len(mine) == 1
    assert mine[0]["headers"]["timelimit"] == [100.0, 70.0]
    assert api.container.queue.redis.zscore(ENQUEUED, job_id) is not None


def test_wait_answers_when_the_job_ends_not_later(api: Any) -> None:
    job_id = noop(api)
    finish = work(api, job_id)
    threading.Timer(0.6, finish).start()
    started = time.monotonic()
    job = api.http.get(f"/jobs/{job_id}?wait=60").json()
    assert (job["state"], job["result"], job["progress"]) == ("done", {"well": True}, 1)
    assert time.monotonic() - started > 0.4


def test_wait_gives_up_in_time(api: Any) -> None:
    started = time.monotonic()
    job = api.http.get(f"/jobs/{noop(api)}?wait=0.5").json()
    assert job["state"] == "queued"
    assert time.monotonic() - started >= 0.5


def test_events_tell_the_whole_story_and_keep_the_line_alive(api: Any) -> None:
    job_id = noop(api)
    finish = work(api, job_id, progress=0.25)
    threading.Timer(1.5, finish).start()
    with api.http.stream("GET", f"/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [line for line in lines if line.startswith("event: ")] == ["event: progress", "event: end"]
    assert [(job["state"], job["progress"]) for job in events] == [("running", 0.25), ("done", 1.0)]
    assert any(line.startswith(":") for line in lines)


def test_cancelling_a_queued_job_ends_it(api: Any) -> None:
    job_id = noop(api)
    assert api.http.delete(f"/jobs/{job_id}").json()["state"] == "cancelled"
    job = api.http.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("cancelled", "cancelled")
    with api.container.database.begin() as session:
        assert jobs.claim(session, job_id, "late worker") is None


def test_a_failed_job_has_a_problem_for_an_error(api: Any) -> None:
    job_id = noop(api)
    with api.container.database.begin() as session:
        claim = jobs.claim(session, job_id, "by hand")
        assert claim is not None
        jobs.fail(session, job_id, claim.token, {"code": "still_video", "detail": "nobody moves", "hint": "dance"})
    error = api.http.get(f"/jobs/{job_id}").json()["error"]
    assert (error["code"], error["detail"], error["status"], error["hint"]) == (
        "still_video",
        "nobody moves",
        422,
        "dance",
    )


def test_jobs_are_listed_newest_first_page_by_page(api: Any) -> None:
    made = [noop(api) for _ in range(3)]
    page = api.http.get("/jobs?limit=2&kind=noop").json()
    rest = api.http.get(f"/jobs?limit=1&kind=noop&cursor={page['next_cursor']}").json()
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == made[::-1]


@pytest.fixture
def own_broker(settings: Any, tmp_path: Path) -> Any:
    """Settings for an API whose Redis does not run yet; `start()` starts it."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    server: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
        server.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        wait_for_redis(url)

    def stop() -> None:
        server[-1].kill()
        server[-1].wait()

    own = settings.model_copy(update={"redis_url": url, "data_dir": tmp_path / "data", "requeue_after_s": 0.5})
    yield own, start, stop
    for process in server:
        process.kill()
        process.wait()


def test_without_a_broker_a_job_is_kept_and_sent_when_it_is_back(own_broker: Any, run_api: Any) -> None:
    own, start, stop = own_broker
    with run_api(own) as api:
        job_id, _ = noop(api), noop(api)
        assert api.http.get(f"/jobs/{job_id}?wait=0.2").json()["state"] == "queued"
        ready = api.http.get("/health/ready")
        assert ready.status_code == 503
        assert not ready.json()["checks"]["redis"]["ok"]
        start()
        wait_until(lambda: api.container.queue.waiting() == 2)
        stop()  # the broker forgets all it had
        start()
        wait_until(lambda: api.container.queue.waiting() == 2)
        time.sleep(1.2)  # more sweeps do not send them again
        assert api.container.queue.waiting() == 2


def test_a_message_that_the_broker_lost_is_sent_again(own_broker: Any, run_api: Any) -> None:
    own, start, _ = own_broker
    start()
    with run_api(own) as api:
        noop(api)
        api.container.queue.redis.delete(QUEUE)  # the list of what was sent stays
        wait_until(lambda: api.container.queue.waiting() == 1)


def test_a_message_that_a_dead_worker_took_is_sent_again_while_others_wait(own_broker: Any, run_api: Any) -> None:
    own, start, _ = own_broker
    start()
    with run_api(own) as api:
        taken, waiting = noop(api), noop(api)
        broker = api.container.queue.redis
        assert json.loads(broker.rpop(QUEUE))["headers"]["id"] == taken  # as a worker that is killed before its claim
        wait_until(lambda: api.container.queue.waiting() == 2)
        time.sleep(1.2)  # more sweeps do not send them again
        on_queue = [json.loads(message)["headers"]["id"] for message in broker.lrange(QUEUE, 0, -1)]
        assert sorted(on_queue) == sorted([taken, waiting])


def test_an_expired_lease_goes_back_to_the_queue_and_at_last_fails(own_broker: Any, run_api: Any) -> None:
    own, start, _ = own_broker
    start()
    with run_api(own.model_copy(update={"max_attempts": 2})) as api:
        job_id = noop(api)
        for _ in range(2):
            wait_until(lambda: api.http.get(f"/jobs/{job_id}").json()["state"] == "queued")
            with api.container.database.begin() as session:
                assert jobs.claim(session, job_id, "will die", lease_s=0.2)
        job = api.http.get(f"/jobs/{job_id}?wait=60").json()
        assert (job["state"], job["error"]["code"], job["attempts"]) == ("failed", "worker_lost", 2)


def test_a_lost_wake_up_costs_no_answer(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = noop(api)
    finish = work(api, job_id)
    monkeypatch.setattr(api.container.queue, "announce", lambda *_: None)
    threading.Timer(0.2, finish).start()
    assert api.http.get(f"/jobs/{job_id}?wait=60").json()["state"] == "done"


def test_metrics_count_what_passed(api: Any) -> None:
    noop(api)
    text = api.http.get("/metrics").text
    assert 'mudar_http_requests_total{method="POST",route="/jobs/noop",status="202"}' in text
    assert 'mudar_jobs{state="queued"}' in text


def test_noop_is_there_only_where_it_is_asked_for(own_broker: Any, run_api: Any) -> None:
    own, _, _ = own_broker
    with run_api(own.model_copy(update={"enable_noop": False})) as api:
        assert api.http.post("/jobs/noop").status_code == 405
        assert "/jobs/noop" not in api.http.get("/openapi.json").json()["paths"]
