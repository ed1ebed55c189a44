"""Defines the answer to several files at once."""

from __future__ import annotations

from pydantic import BaseModel

from service.errors import Problem
from service.responses import JobState


class FileAccepted(BaseModel):
    """Says what became of one of several files: its job, or why there is none."""

    filename: str
    job_id: str | None
    state: JobState | None
    items: list[str]
    notes: list[str] = []
    error: Problem | None


class AllAccepted(BaseModel):
    """One entry for each file, in their order."""

    jobs: list[FileAccepted]
