"""Jobs under everything that goes wrong: lost workers, lost leases, two who want the same, deletion, cancellation."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select

from mudar.errors import Cancelled, ItemDeleted, LeaseLost, StillVideo, UnknownItem, UnknownJob
from mudar.library import analyses, items, jobs
from mudar.library import tables as t
from mudar.library.db import Database
from mudar.records import Analysis
from tests.waiting import wait_until

NewItem = Callable[..., str]


def ask(database: Database, *item_ids: str, **kw: object) -> str:
    with database.begin() as session:
        return str(jobs.create_job(session, jobs.JobSpec("embed", {"fps": 15}, item_ids, **kw))["id"])  # type: ignore[arg-type]


def take(database: Database, job_id: str, **kw: float) -> jobs.Claim:
    with database.begin() as session:
        claim = jobs.claim(session, job_id, "worker", **kw)
    assert claim is not None
    return claim


def read_job(database: Database, job_id: str) -> dict[str, object]:
    with database.read() as session:
        return jobs.get_job(session, job_id)


def test_the_life_of_a_job(database: Database, new_item: NewItem) -> None:
    item_id = new_item()
    job_id = ask(database, item_id)
    queued = read_job(database, job_id)
    assert queued.keys() >= {"id", "kind", "state", "progress", "stage", "result", "error", "attempts", "created_at"}
    assert (queued["state"], queued["progress"], queued["result"], queued["error"]) == ("queued", 0.0, None, None)
    with database.read() as session:
        assert jobs.queued_jobs(session) == [job_id]
        assert items.get_item(session, item_id)["state"] == "queued"
    claim = take(database, job_id)
    assert (claim.kind, claim.params, claim.item_ids, claim.attempts) == ("embed", {"fps": 15}, (item_id,), 1)
    with database.begin() as session:
        assert jobs.heartbeat(session, claim, 0.4, "flow") is None
    running = read_job(database, job_id)
    assert (running["state"], running["progress"], running["stage"]) == ("running", 0.4, "flow")
    with database.begin() as session:
        done = jobs.finish(session, job_id, claim.token, {"items": []})
    assert (done["state"], done["progress"], done["result"], done["error"]) == ("done", 1.0, {"items": []}, None)
    assert str(done["created_at"]) <= str(done["started_at"]) <= str(done["ended_at"])
    assert json.loads(json.dumps(done)) == done
    with database.read() as session:
        assert jobs.queued_jobs(session) == []
        assert jobs.count_jobs(session)["done"] == 1


def test_of_many_who_claim_one_gets_it(database: Database) -> None:
    job_id = ask(database)

    def claim(number: int) -> jobs.Claim | None:
        with database.begin() as session:
            return jobs.claim(session, job_id, str(number))

    with ThreadPoolExecutor(8) as pool:
        claims = [c for c in pool.map(claim, range(16)) if c is not None]
    assert len(claims) == 1
    assert read_job(database, job_id)["attempts"] == 1


def test_who_lost_the_lease_can_store_nothing(database: Database, new_item: NewItem, analysis: object) -> None:
    item_id = new_item()
    job_id = ask(database, item_id)
    slow = take(database, job_id, lease_s=5, now=1000.0)
    with database.begin() as session:
        assert jobs.requeue_expired(session, now=1004.9) == jobs.RequeuedJobs([], [])
        assert jobs.requeue_expired(session, now=1005.1) == jobs.RequeuedJobs([job_id], [])
    quick = take(database, job_id)
    assert quick.attempts == 2
    for late in (
        lambda s: jobs.heartbeat(s, slow, 0.9, "late"),
        lambda s: jobs.fail(s, job_id, slow.token, StillVideo()),
        lambda s: jobs.give_back(s, job_id, slow.token),
    ):
        with pytest.raises(LeaseLost), database.begin() as session:
            late(session)
    made: Analysis = analysis()  # type: ignore[operator]

    def end(token: str) -> dict[str, object]:
        with database.begin() as session:
            result = analyses.store_analysis(session, item_id, "m", made)
            jobs.finish(session, job_id, token, {"items": [result]})
            return result

    with pytest.raises(LeaseLost):
        end(slow.token)
    with database.read() as session:
        assert analyses.summary(session, item_id, "m") is None
    result = end(quick.token)
    assert read_job(database, job_id)["result"] == {"items": [result]}


def test_heartbeats_keep_a_lease_alive(database: Database) -> None:
    job_id = ask(database)
    claim = take(database, job_id, lease_s=15, now=0.0)
    for now in range(3, 60, 3):
        with database.begin() as session:
            assert jobs.requeue_expired(session, now=float(now)) == jobs.RequeuedJobs([], [])
            jobs.heartbeat(session, claim, now / 60, "flow", now=float(now))


def test_a_job_that_kills_its_workers_ends_as_worker_lost(database: Database) -> None:
    job_id = ask(database, max_attempts=2, key="k")
    take(database, job_id, now=0.0)
    with database.begin() as session:
        assert jobs.requeue_expired(session).enqueue == [job_id]
    take(database, job_id, now=0.0)
    with database.begin() as session:
        assert jobs.requeue_expired(session) == jobs.RequeuedJobs([], [job_id])
    ended = read_job(database, job_id)
    assert (ended["state"], ended["attempts"], ended["error"]["code"]) == ("failed", 2, "worker_lost")  # type: ignore[index]
    assert ask(database, key="k") != job_id  # a failure is no answer for ever


def test_cancelling_at_every_moment(database: Database) -> None:
    waiting, running, ended = ask(database), ask(database), ask(database)
    claim, last = take(database, running), take(database, ended)
    with database.begin() as session:
        jobs.finish(session, ended, last.token, {"n": 1})
    with database.begin() as session:
        assert jobs.cancel(session, waiting)["state"] == "cancelled"
        assert jobs.claim(session, waiting, "worker") is None
        assert jobs.cancel(session, ended)["result"] == {"n": 1}
        cancelled = jobs.cancel(session, running)
        assert (cancelled["state"], cancelled["cancel_requested"]) == ("running", True)
        stop = jobs.heartbeat(session, claim, 0.5, "flow")
        assert isinstance(stop, Cancelled)
        assert jobs.fail(session, running, claim.token, stop)["state"] == "cancelled"
        with pytest.raises(UnknownJob):
            jobs.cancel(session, "embed-0")


def test_a_cancelled_job_whose_worker_died_is_not_run_again(database: Database) -> None:
    job_id = ask(database)
    take(database, job_id, now=0.0)
    with database.begin() as session:
        jobs.cancel(session, job_id)
        assert jobs.requeue_expired(session) == jobs.RequeuedJobs([], [job_id])
    assert read_job(database, job_id)["state"] == "cancelled"


def test_the_same_work_is_not_done_twice(database: Database) -> None:
    """While it is queued, running or done; a failure or a cancellation lets go of the key."""
    first = ask(database, key="k")
    assert ask(database, key="k") == first
    claim = take(database, first)
    assert ask(database, key="k") == first
    with database.begin() as session:
        jobs.fail(session, first, claim.token, StillVideo("nothing moves"))
    failed = read_job(database, first)
    assert failed["error"] == {"code": "still_video", "detail": "nothing moves", "hint": StillVideo.hint}
    second = ask(database, key="k")
    assert second != first
    with database.begin() as session:
        jobs.cancel(session, second)
    third = ask(database, key="k")
    claim = take(database, third)
    with database.begin() as session:
        jobs.finish(session, third, claim.token, {})
    with database.begin() as session:
        again = jobs.create_job(session, jobs.JobSpec("embed", {}, key="k"))
    assert (again["id"], again["created"], again["state"]) == (third, False, "done")
    assert ask(database) != ask(database)


def test_many_who_ask_for_the_same_work_at_once_get_one_job(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: ask(database, key="k"), range(16)))) == 1


def test_deleting_an_item_stops_its_jobs(database: Database, new_item: NewItem) -> None:
    item_id, other = new_item(), new_item()
    queued, running, elsewhere = ask(database, item_id), ask(database, other, item_id), ask(database, other)
    claim = take(database, running)
    with database.begin() as session:
        items.delete_item(session, item_id)
        stop = jobs.heartbeat(session, claim, 0.5, "flow")
    assert isinstance(stop, ItemDeleted)
    ended = read_job(database, queued)
    assert (ended["state"], ended["error"]["code"], ended["item_ids"]) == ("failed", "item_deleted", [item_id])  # type: ignore[index]
    assert read_job(database, elsewhere)["state"] == "queued"
    with pytest.raises(UnknownItem):
        ask(database, item_id)


def test_a_done_job_of_a_deleted_item_is_no_answer_for_the_same_bytes(database: Database, new_item: NewItem) -> None:
    item_id = new_item()
    first = ask(database, item_id, key="k")
    claim = take(database, first)
    with database.begin() as session:
        jobs.finish(session, first, claim.token, {})
        items.delete_item(session, item_id)
    assert ask(database, key="k") != first


def test_a_worker_that_must_go_gives_the_job_back(database: Database) -> None:
    job_id = ask(database)
    claim = take(database, job_id)
    with database.begin() as session:
        jobs.give_back(session, job_id, claim.token)
    back = read_job(database, job_id)
    assert (back["state"], back["attempts"], back["progress"]) == ("queued", 0, 0.0)


def test_old_jobs_are_forgotten_and_live_ones_are_not(database: Database) -> None:
    old, live = ask(database), ask(database)
    claim = take(database, old)
    with database.begin() as session:
        jobs.finish(session, old, claim.token, {})
        assert jobs.forget_jobs(session, 60) == 0
        assert jobs.forget_jobs(session, 60, now=time.time() + 120) == 1
        assert [job["id"] for job in jobs.list_jobs(session).items] == [live]


def test_pages_of_jobs(database: Database, tick: Callable[[], None]) -> None:
    made = []
    for _ in range(5):
        made.append(ask(database))
        tick()
    with database.read() as session:
        first = jobs.list_jobs(session, limit=3)
        second = jobs.list_jobs(session, limit=3, cursor=first.next_cursor)
        assert [job["id"] for job in first.items + second.items] == made[::-1]
        assert second.next_cursor is None
        assert jobs.list_jobs(session, state="done").items == []


def test_every_job_ends_exactly_once_whatever_dies(database: Database) -> None:
    """Workers that vanish in mid-job, beside two sweepers: each job's work is stored once, in the end."""
    job_ids = {ask(database, max_attempts=1000) for _ in range(12)}
    rng, over = random.Random(7), threading.Event()

    def work() -> None:
        while not over.is_set():
            with database.read() as session:
                waiting = jobs.queued_jobs(session)
            for job_id in rng.sample(waiting, len(waiting)):
                with database.begin() as session:
                    claim = jobs.claim(session, job_id, "worker", lease_s=0.03)
                if claim is None or rng.random() < 0.3:
                    continue  # dies, and says nothing
                time.sleep(rng.choice([0.0, 0.0, 0.06]))  # sometimes slower than its lease
                try:
                    with database.begin() as session:
                        session.execute(insert(t.counters).values(name=f"{job_id} {claim.token}"[:40], value=1))
                        jobs.finish(session, job_id, claim.token, {"token": claim.token})
                except LeaseLost:
                    pass
            time.sleep(0.005)

    def sweep() -> None:
        while not over.is_set():
            with database.begin() as session:
                jobs.requeue_expired(session)
            time.sleep(0.01)

    threads = [threading.Thread(target=run) for run in (work, work, work, sweep, sweep)]
    for thread in threads:
        thread.start()

    def all_done() -> bool:
        with database.read() as session:
            return jobs.count_jobs(session)["done"] == len(job_ids)

    wait_until(all_done, every_s=0.02)
    over.set()
    for thread in threads:
        thread.join()
    with database.read() as session:
        stored = session.execute(select(t.counters.c.name).where(t.counters.c.name.like("embed-%"))).scalars().all()
    assert sorted(name.split()[0] for name in stored) == sorted(job_ids)
