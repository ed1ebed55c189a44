"""What the engine room can do, by the kind of job. Each step: `step(context, params) -> result`, plain and synchronous.

A step imports what is heavy inside itself: the process has loaded it already when its first job comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workers.handlers import embed, noop, retarget, retrieve, soundtrack, sync

Step = Callable[[Any, dict[str, Any]], Mapping[str, Any]]

STEPS: dict[str, Step] = {
    "embed": embed.embed,
    "retrieve": retrieve.retrieve,
    "retarget": retarget.retarget,
    "soundtrack": soundtrack.soundtrack,
    "sync": sync.sync,
    "noop": noop.noop,
}
