"""`mudar up` as a whole: what is killed comes back, jobs end once, nothing is left behind, the API holds no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.embedded import free_port

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
SHORT = {"MUDAR_LEASE_S": "2", "MUDAR_HEARTBEAT_S": "0.3", "MUDAR_SWEEP_S": "0.3", "MUDAR_PROGRESS_S": "0.1"}


def children(pid: int) -> dict[int, str]:
    """Everything that descends from this process: command lines by process id."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(folder.name)] = (int(fields[1]), line)
    found, todo = {}, [pid]
    while todo:
        parent = todo.pop()
        below = {child: line for child, (of, line) in parents.items() if of == parent}
        found |= below
        todo += below
    return found


def alive(pid: int) -> bool:
    """Whether it runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(what: Callable[[], object], timeout_s: float = 40) -> None:
    """Returns once `what()` is true."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@dataclass
class Up:
    """A `mudar up` of ours."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def running(self, part: str) -> list[int]:
        """The processes below it whose command line holds `part`."""
        return [pid for pid, line in children(self.process.pid).items() if part in line]

    def noop(self, sleep_s: float) -> str:
        return str(self.http.post("/jobs/noop", params={"sleep_s": sleep_s}).json()["job_id"])

    def ended(self, job_id: str) -> dict[str, object]:
        """The job once it ended."""
        return dict(self.http.get(f"/jobs/{job_id}", params={"wait": 60}).json())

    def worker_process(self, job_id: str) -> int:
        """The process that runs the job: the child of the worker."""
        eventually(lambda: self.http.get(f"/jobs/{job_id}").json()["state"] == "running")
        (parent,) = [pid for pid in self.running("workers.app") if self.process.pid == parent_of(pid)]
        (child,) = children(parent)
        return child


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def start(folder: Path) -> Iterator[Up]:
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "up", "--port", str(port)]
    environment = {**os.environ, **SHORT, "MUDAR_DATA_DIR": str(folder), "MUDAR_ENABLE_NOOP": "1"}
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as http:
            up = Up(process, http)
            eventually(lambda: process.poll() is not None or answers(http))
            assert up.ended(up.noop(0))["state"] == "done"
            yield up
    finally:
        process.terminate()
        process.wait(30)


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with start(tmp_path_factory.mktemp("up") / "data") as it:
        yield it


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_the_api_process_holds_no_torch(up: Up) -> None:
    assert "libtorch" not in loaded(up.process.pid)
    assert "faiss" in loaded(up.process.pid)
    child = up.worker_process(up.noop(0.5))
    assert "libtorch" in loaded(child), "the look itself must be able to find it"


def test_a_killed_worker_process_has_its_job_run_again_once(up: Up) -> None:
    job_id = up.noop(1.5)
    os.kill(up.worker_process(job_id), signal.SIGKILL)
    job = up.ended(job_id)
    assert (job["state"], job["attempts"]) == ("done", 2)


def test_a_killed_worker_comes_back_and_its_job_ends_once(up: Up) -> None:
    job_id = up.noop(1.5)
    child = up.worker_process(job_id)
    os.kill(parent_of(child), signal.SIGKILL)
    eventually(lambda: not alive(child))
    job = up.ended(job_id)
    assert (job["state"], job["attempts"]) == ("done", 2)


def test_a_killed_broker_comes_back_and_jobs_go_on(up: Up) -> None:
    running, waiting = up.noop(2), up.noop(0)
    up.worker_process(running)
    (broker,) = up.running("redis-server")
    os.kill(broker, signal.SIGKILL)
    late = up.noop(0)
    assert [up.ended(job_id)["state"] for job_id in (running, waiting, late)] == ["done"] * 3
    assert up.ended(running)["attempts"] == 1
    assert up.running("redis-server") != [broker]


def test_a_running_job_is_cancelled(up: Up) -> None:
    job_id = up.noop(60)
    up.worker_process(job_id)
    up.http.delete(f"/jobs/{job_id}")
    started = time.monotonic()
    assert up.ended(job_id)["state"] == "cancelled"
    assert time.monotonic() - started < 10
    assert up.ended(up.noop(0))["state"] == "done"


def test_a_job_over_its_limit_is_stopped(up: Up) -> None:
    job_id = up.http.post("/jobs/noop", params={"sleep_s": 60, "limit_s": 1}).json()["job_id"]
    job = up.ended(job_id)
    assert job["state"] == "failed"
    assert job["error"]["code"] == "job_timeout"  # type: ignore[index]


def test_a_second_one_in_the_same_folder_is_refused(up: Up, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = next(line for line in loaded_environment(up.process.pid) if line.startswith("MUDAR_DATA_DIR="))
    environment = {**os.environ, "MUDAR_DATA_DIR": folder.partition("=")[2]}
    command = [sys.executable, "-m", "service.cli", "up", "--port", "0"]
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "already runs" in second.stderr
    assert "Traceback" not in second.stderr


def loaded_environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path / "data") as up:
        up.worker_process(up.noop(30))
        below = children(up.process.pid)
        assert len(below) >= 3
        up.process.send_signal(number)
        status = up.process.wait(30)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        eventually(lambda: not any(map(alive, below)), timeout_s=10)
