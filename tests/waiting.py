"""Waits for a state by polling it: tests share the machine with others, so no wait counts on its speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 300.0


def wait_until(reached: Callable[[], object], timeout_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Polls until `reached` returns something true; fails after `timeout_s`, which is for hangs alone."""
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline_s, f"still waiting after {timeout_s:g} s"
        time.sleep(every_s)
