"""Sleeps: shows what a request costs, and what happens when a worker dies in the middle of a job."""

from __future__ import annotations

import time
from typing import Any

from workers.context import StepContext

STEP_S = 0.05


def noop(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Sleeps `sleep_s` and reports its progress."""
    sleep_s, started = float(params.get("sleep_s", 0)), time.monotonic()
    while (slept_s := time.monotonic() - started) < sleep_s:
        context.progress(slept_s / sleep_s, "sleeping")
        time.sleep(min(STEP_S, sleep_s - slept_s))
    return {}
