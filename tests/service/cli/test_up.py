"""`mudar up` as a whole: what is killed comes back, jobs end once, nothing is left behind, the API holds no torch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_the_api_process_holds_no_torch(up: Any) -> None:
    assert "libtorch" not in loaded(up.process.pid)
    assert "faiss" in loaded(up.process.pid)
    child = up.worker_process(up.noop(0.5))
    assert "libtorch" in loaded(child), "the look itself must be able to find it"


def test_a_killed_worker_process_has_its_job_run_again_once(up: Any) -> None:
    job_id = up.noop(1.5)
    os.kill(up.worker_process(job_id), signal.SIGKILL)
    job = up.ended(job_id)
    assert (job["state"], job["attempts"]) == ("done", 2)


def test_a_killed_worker_comes_back_and_its_job_ends_once(up: Any) -> None:
    job_id = up.noop(1.5)
    child = up.worker_process(job_id)
    os.kill(up.parent_of(child), signal.SIGKILL)
    wait_until(lambda: not up.alive(child))
    job = up.ended(job_id)
    assert (job["state"], job["attempts"]) == ("done", 2)


def test_a_killed_broker_comes_back_and_jobs_go_on(up: Any) -> None:
    running, waiting = up.noop(2), up.noop(0)
    up.worker_process(running)
    (broker,) = up.running("redis-server")
    os.kill(broker, signal.SIGKILL)
    late = up.noop(0)
    assert [up.ended(job_id)["state"] for job_id in (running, waiting, late)] == ["done"] * 3
    assert up.ended(running)["attempts"] == 1
    assert up.running("redis-server") != [broker]


def test_a_running_job_is_cancelled(up: Any) -> None:
    job_id = up.noop(600)
    up.worker_process(job_id)
    up.http.delete(f"/jobs/{job_id}")
    assert up.ended(job_id)["state"] == "cancelled"
    assert up.ended(up.noop(0))["state"] == "done"


def test_a_job_over_its_limit_is_stopped(up: Any) -> None:
    job_id = up.http.post("/jobs/noop", params={"sleep_s": 60, "limit_s": 1}).json()["job_id"]
    job = up.ended(job_id)
    assert job["state"] == "failed"
    assert job["error"]["code"] == "job_timeout"


def test_a_second_one_in_the_same_folder_is_refused(up: Any) -> None:
    folder = next(line for line in loaded_environment(up.process.pid) if line.startswith("MUDAR_DATA_DIR="))
    environment = {**os.environ, "MUDAR_DATA_DIR": folder.partition("=")[2]}
    command = [sys.executable, "-m", "service.cli.main", "up", "--port", "0"]
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert second.returncode == 2
    assert "already runs" in second.stderr
    assert "Traceback" not in second.stderr


def loaded_environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def test_a_kill_that_nobody_can_catch_leaves_nothing_behind(tmp_path: Path, start_up: Any) -> None:
    """SIGTERM is the way every `up` here ends; see conftest.py."""
    with start_up(tmp_path / "data") as up:
        up.worker_process(up.noop(30))
        below = up.below()
        assert len(below) >= 3
        up.process.kill()
        assert up.process.wait(PATIENCE_S) == -signal.SIGKILL
        wait_until(lambda: not any(map(up.alive, below)))


def test_more_api_processes_answer_on_the_same_port_and_are_kept_running(
    start_up: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUDAR_API_PROCESSES", "2")
    with start_up(tmp_path / "data") as up:

        def alone() -> bool:
            """Whether the replica answers while the first process cannot, if the connection is dealt to it."""
            os.kill(up.process.pid, signal.SIGSTOP)
            try:
                return httpx.get(f"{up.http.base_url}/health/live", timeout=1).is_success
            except httpx.TransportError:
                return False
            finally:
                os.kill(up.process.pid, signal.SIGCONT)

        wait_until(alone)
        (first,) = up.running("service.cli.up.api_worker")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: [pid for pid in up.running("service.cli.up.api_worker") if pid != first])
        wait_until(alone)
        assert up.ended(up.noop(0))["state"] == "done"


def test_connections_are_dealt_out_to_all_processes(
    start_up: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUDAR_API_PROCESSES", "2")

    def sockets(pid: int) -> int:
        count = 0
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += str(link.readlink()).startswith("socket:")
        return count

    with start_up(tmp_path / "data") as up:
        port = httpx.URL(up.http.base_url).port
        wait_until(lambda: listening(port) == 2)
        processes = [up.process.pid, *up.running("service.cli.up.api_worker")]
        before = [sockets(pid) for pid in processes]
        with contextlib.ExitStack() as clients:
            for _ in range(40):
                client = clients.enter_context(httpx.Client(base_url=up.http.base_url))
                assert client.get("/health/live").is_success
            taken = [sockets(pid) - then for pid, then in zip(processes, before, strict=True)]
        assert len(taken) == 2
        assert min(taken) >= 4, taken


def listening(port: int | None) -> int:
    """How many sockets of this machine listen on a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)


def test_a_port_that_may_be_shared_is_still_refused_to_others() -> None:
    from service.cli.up.supervisor import UpRefused, listen

    with listen("127.0.0.1", 0, shared=True) as first:
        first.listen()
        for shared in (False, True):
            with pytest.raises(UpRefused, match="cannot be used"):
                listen("127.0.0.1", first.getsockname()[1], shared=shared)
