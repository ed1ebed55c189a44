"""No process outlives a parent that was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from mudar.parent_death import die_with_parent
from tests.waiting import wait_until


def _wait(parent: int, pid_file: str) -> None:
    die_with_parent(parent)
    Path(pid_file).write_text(str(os.getpid()))
    time.sleep(600)


def be_a_parent(pid_file: str) -> None:
    """Start a process that waits, and wait."""
    spawn = multiprocessing.get_context("spawn")
    spawn.Process(target=_wait, args=(os.getpid(), pid_file), daemon=True).start()
    time.sleep(600)


def test_no_child_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    script = f"from {__name__} import be_a_parent; be_a_parent({str(pid_file)!r})"
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        child = int(pid_file.read_text())
        assert is_alive(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not is_alive(child))


def is_alive(process: int) -> bool:
    """Whether there is such a process; one that has ended and was not yet asked for does not count."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
