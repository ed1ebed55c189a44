"""Lists the handlers by the kind of job: `handler(context, params) -> result`, plain and synchronous.

A handler imports what is heavy inside itself: the process has loaded it already when its first job comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workers.context import StepContext
from workers.handlers import embed, noop, retarget, retrieve, soundtrack, sync

Handler = Callable[[StepContext, dict[str, Any]], Mapping[str, Any]]

HANDLERS: dict[str, Handler] = {
    "embed": embed.embed,
    "retrieve": retrieve.retrieve,
    "retarget": retarget.retarget,
    "soundtrack": soundtrack.soundtrack,
    "sync": sync.sync,
    "noop": noop.noop,
}
