"""Measures the overhead of a job: one that does nothing, through API, Redis, worker and back."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.bench.row import Row, seconds
from tests.conftest import start_stack

JOBS = 200


def rows(folder: Path) -> Iterator[Row]:
    """Yields median and 95th percentile, beside a response that needs no queue."""
    stack = start_stack(folder / "overhead-data")
    try:
        with httpx.Client(base_url=stack.url, timeout=60) as client:

            def noop() -> None:
                job = client.post("/jobs/noop").json()["job_id"]
                assert client.get(f"/jobs/{job}", params={"wait": 30}).json()["state"] == "done"

            for _ in range(10):
                noop()
            taken = [seconds(noop) * 1000 for _ in range(JOBS)]
            plain = [seconds(lambda: client.get("/health/live")) * 1000 for _ in range(JOBS)]
    finally:
        assert stack.process is not None
        stack.process.terminate()
        stack.process.wait(30)
    p50, p95, floor = statistics.median(taken), statistics.quantiles(taken, n=20)[-1], statistics.median(plain)
    yield Row(
        "a no-op job, there and back", f"p50 {p50:.1f} ms, p95 {p95:.1f} ms", f"GET /health/live {floor:.1f} ms",
        p50, p50 / floor, "p50 <= 20 ms", p50 <= 20,
    )  # fmt: skip
