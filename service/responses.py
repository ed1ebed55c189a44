"""Defines the answer of every route that starts a job: 202, with the place to follow it."""

from __future__ import annotations

from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class Accepted(BaseModel):
    """Names the job that will do it; follow it at `Location`."""

    job_id: str
    state: JobState
    items: list[str] = Field(description="Ids of the items that the job is about.")
    notes: list[str] = Field(default=[], description="What the file was taken for, where that is not plain.")


def accepted(response: Response, job: Accepted) -> Accepted:
    """Sets Location and returns the body."""
    response.headers["location"] = f"/jobs/{job.job_id}"
    return job
