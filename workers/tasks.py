"""Defines the one Celery task, which takes a job's id. A second delivery finds the job taken or ended."""

from __future__ import annotations

from mudar.library import protocol
from workers.app import app


@app.task(name=protocol.TASK)
def run_job(job_id: str) -> None:
    """Runs the job unless somebody else does or did."""
    from workers.executor import run
    from workers.runtime import runtime

    run(runtime(), job_id)
