"""Defines what the API says of jobs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from service.errors import Problem
from service.responses import JobState


class Job(BaseModel):
    """Describes a queued request. `result` when done, `error` when failed."""

    id: str
    kind: str
    state: JobState
    progress: float = Field(ge=0, le=1)
    stage: str
    result: dict[str, Any] | None
    error: Problem | None
    attempts: int
    created_at: str | None
    started_at: str | None
    ended_at: str | None
    item_ids: list[str]
    cancel_requested: bool


class Jobs(BaseModel):
    """One page; `next_cursor` leads to the next one and is null on the last."""

    jobs: list[Job]
    next_cursor: str | None
