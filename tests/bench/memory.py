"""Measures the peak memory of a worker process while it embeds ten minutes of 1080p."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.bench.media import long_1080p
from tests.bench.row import Row
from tests.conftest import start_stack

GIB = 1024**3


def descendants(pid: int) -> list[int]:
    """Lists all processes below `pid` (Linux)."""
    children_pids = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            children_pids += [child, *descendants(child)]
    return children_pids


def peak_bytes(pid: int) -> int:
    """Reads the process's high-water mark of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def worker_peak(pid: int) -> int:
    """Returns the largest high-water mark among the Celery processes below `pid`."""
    workers = [p for p in descendants(pid) if b"celery" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return max((peak_bytes(p) for p in workers), default=0)


def rows(folder: Path) -> Iterator[Row]:
    """Yields the worker's peak after the long video, beside that before any work."""
    video = long_1080p(folder)
    stack = start_stack(folder / "memory-data")
    assert stack.process is not None
    try:
        idle = worker_peak(stack.process.pid)
        with httpx.Client(base_url=stack.url, timeout=120) as client, video.open("rb") as file:
            job = client.post("/embed", files={"file": ("long.mp4", file)}).json()["job_id"]
            state = {"state": "queued"}
            while state["state"] in {"queued", "running"}:
                state = client.get(f"/jobs/{job}", params={"wait": 60}).json()
        assert state["state"] == "done", state
        peak = worker_peak(stack.process.pid)
    finally:
        stack.process.terminate()
        stack.process.wait(30)
    yield Row(
        "worker's peak memory, 10 min 1080p", f"{peak / GIB:.2f} GiB", f"idle, model loaded {idle / GIB:.2f} GiB",
        peak / GIB, peak / idle, "<= 1.5 GiB", peak <= 1.5 * GIB,
    )  # fmt: skip
