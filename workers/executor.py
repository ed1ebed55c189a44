"""One job from claim to end: the edge where whatever happens becomes a state of the job. Knows no Celery task.

The step's rows and the job's end are written in one transaction, which holds only while the lease does; so a job that
ran twice (its worker was thought dead) ends once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
from celery.exceptions import SoftTimeLimitExceeded

from mudar.errors import LeaseLost, MudarError
from mudar.library import jobs, protocol
from mudar.library.blobs import room
from mudar.library.db import Session
from mudar.progress import Progress
from workers.lease import LeaseHeartbeat, too_late
from workers.liveness import worker_name
from workers.runtime import Runtime

log = logging.getLogger(__name__)


@dataclass
class StepContext:
    """What a step may use: the runtime's parts, the job's items, a progress callback, a list of rows to write.

    `write(f)`: f(session) runs in the transaction that ends the job. `keep(role, sha256)`: a file that the job made.
    """

    runtime: Runtime
    job_id: str
    item_ids: tuple[str, ...]
    progress: Progress
    writes: list[Callable[[Session], object]] = field(default_factory=list)
    blobs: dict[str, str] = field(default_factory=dict)

    def write(self, rows: Callable[[Session], object]) -> None:
        """Have these rows written when the job ends, or not at all."""
        self.writes.append(rows)

    def keep(self, role: str, sha256: str) -> None:
        """Have this stored file belong to the job."""
        self.blobs[role] = sha256


def run(runtime: Runtime, job_id: str) -> None:
    """Run the job unless somebody else does or did; whatever happens, its state tells."""
    told = runtime.settings
    with runtime.database.begin() as session:
        claim = jobs.claim(session, job_id, worker_name(), lease_s=told.lease_s)
    forget(runtime, job_id)
    if claim is None:
        return
    announce(runtime, job_id, "running")
    limit_s = float(claim.params.get("limit_s", told.base_limit_s))
    pulse = LeaseHeartbeat(
        lambda fraction, stage: _beat(runtime, claim, fraction, stage),
        lambda: announce(runtime, job_id, _fail(runtime, claim, too_late(limit_s))),
        heartbeat_s=told.heartbeat_s,
        progress_s=told.progress_s,
        limit_s=limit_s,
    )
    try:
        with pulse:
            state = _end(runtime, claim, lambda: _work(runtime, claim, pulse.progress))
    except LeaseLost:
        log.warning("job %s is no longer ours; its work is dropped", job_id)
        return
    announce(runtime, job_id, state)


def _beat(runtime: Runtime, claim: jobs.Claim, fraction: float, stage: str) -> MudarError | None:
    lease_s = runtime.settings.lease_s
    with runtime.database.begin() as session:
        reason = jobs.heartbeat(session, claim.job_id, claim.token, fraction, stage, lease_s=lease_s)
    announce(runtime, claim.job_id, "running")
    return reason


def _work(runtime: Runtime, claim: jobs.Claim, progress: Progress) -> None:
    """The step, then its rows and the job's end at once."""
    from workers.handlers import STEPS

    context = StepContext(runtime, claim.job_id, claim.item_ids, progress)
    result: Mapping[str, Any] = STEPS[claim.kind](context, claim.params)
    progress(1.0, "storing")
    with runtime.database.begin() as session:
        for rows in context.writes:
            rows(session)
        jobs.finish(session, claim.job_id, claim.token, result, blobs=context.blobs)


def _end(runtime: Runtime, claim: jobs.Claim, work: Callable[[], None]) -> str:
    """Do the work; the state it ended in. LeaseLost passes."""
    try:
        with room("what the job makes"):
            work()
    except LeaseLost:
        raise
    except MudarError as error:
        return _fail(runtime, claim, error)
    except SoftTimeLimitExceeded:
        return _fail(runtime, claim, too_late(float(claim.params.get("limit_s", runtime.settings.base_limit_s))))
    except Exception:
        log.exception("job %s failed in a way that nobody foresaw", claim.job_id)
        detail = f"Something went wrong on our side; the log has it under {claim.job_id}."
        return _fail(runtime, claim, MudarError(detail, hint="Try again; report the job's id if it stays."))
    return "done"


def _fail(runtime: Runtime, claim: jobs.Claim, error: MudarError) -> str:
    with runtime.database.begin() as session:
        return str(jobs.fail(session, claim.job_id, claim.token, error)["state"])


def announce(runtime: Runtime, job_id: str, state: str) -> None:
    """Wake whoever waits for the job; they look themselves a second later if this is lost."""
    try:
        runtime.redis.publish(protocol.JOBS_CHANNEL, json.dumps({"id": job_id, "state": state}))
    except redis.RedisError as error:
        log.debug("not announced: %s", error)


def forget(runtime: Runtime, job_id: str) -> None:
    """The id has left the queue."""
    try:
        runtime.redis.zrem(protocol.ENQUEUED, job_id)
    except redis.RedisError as error:
        log.debug("not forgotten: %s", error)
