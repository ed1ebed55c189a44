"""Jobs over processes that may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from training.process_pool import WorkerCrashed, die_with_parent, map_processes


class Dies:
    """A job that kills its process, as a broken decoder may."""

    def __call__(self, job: int) -> int:
        if job == 2:
            os._exit(9)
        return job * 10


def test_a_file_that_kills_its_process_is_the_only_one_lost() -> None:
    assert dict(map_processes(Dies(), [0, 1, 2, 3], 2)) == {0: 0, 1: 10, 2: WorkerCrashed(), 3: 30}


def test_one_worker_means_here() -> None:
    assert list(map_processes(str, [3, 4], 1)) == [(3, "3"), (4, "4")]


def _wait(parent: int, told: str) -> None:
    die_with_parent(parent)
    Path(told).write_text(str(os.getpid()))
    time.sleep(600)


def be_a_parent(told: str) -> None:
    """Start a process that waits, and wait."""
    spawn = multiprocessing.get_context("spawn")
    spawn.Process(target=_wait, args=(os.getpid(), told), daemon=True).start()
    time.sleep(600)


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    told = tmp_path / "child"
    script = f"from {__name__} import be_a_parent; be_a_parent({str(told)!r})"
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    try:
        assert within(30, lambda: told.exists() and told.read_text() != "")
        child = int(told.read_text())
        assert is_alive(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert within(30, lambda: not is_alive(child))


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it becomes true in so many seconds."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def is_alive(process: int) -> bool:
    """Whether there is such a process; one that has ended and was not yet asked for does not count."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
