"""Runs one job from claim to end: whatever happens here becomes a state of the job. Knows no Celery task.

The handler's rows and the job's end are written in one transaction, which holds only while the lease does; so a job
that ran twice (its worker was thought dead) ends once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import redis
from celery.exceptions import SoftTimeLimitExceeded

from mudar.errors import LeaseLost, MudarError, UnknownItem
from mudar.library import jobs, protocol
from mudar.library.blobs import room
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.progress import Progress
from workers.context import StepContext
from workers.handlers import HANDLERS
from workers.lease import LeaseHeartbeat, too_late
from workers.liveness import worker_name
from workers.runtime import Runtime

log = logging.getLogger(__name__)


def run(runtime: Runtime, job_id: str) -> None:
    """Runs the job unless somebody else does or did; whatever happens, its state says so."""
    settings = runtime.settings
    with runtime.database.begin() as session:
        claim = jobs.claim(session, job_id, worker_name(), lease_s=settings.lease_s)
    remove_from_queue_set(runtime, job_id)
    if claim is None:
        return
    announce(runtime, job_id, "running")
    limit_s = float(claim.params.get("limit_s", settings.base_limit_s))
    lease = LeaseHeartbeat(
        lambda fraction, stage: _renew_lease(runtime, claim, fraction, stage),
        lambda: announce(runtime, job_id, _fail(runtime, claim, too_late(limit_s))),
        heartbeat_s=settings.heartbeat_s,
        progress_s=settings.progress_s,
        limit_s=limit_s,
    )
    try:
        with lease:
            state = _end(runtime, claim, lambda: _work(runtime, claim, lease.progress))
    except LeaseLost:
        log.warning("job %s is no longer ours; its work is dropped", job_id)
        return
    announce(runtime, job_id, state)


def _renew_lease(runtime: Runtime, claim: jobs.Claim, fraction: float, stage: str) -> MudarError | None:
    lease_s = runtime.settings.lease_s
    with runtime.database.begin() as session:
        reason = jobs.heartbeat(session, claim, fraction, stage, lease_s=lease_s)
    announce(runtime, claim.job_id, "running")
    return reason


def _work(runtime: Runtime, claim: jobs.Claim, progress: Progress) -> None:
    """Calls the handler, then writes its rows and the job's end in one transaction."""
    context = StepContext(runtime, claim.job_id, claim.item_ids, progress)
    result: Mapping[str, Any] = HANDLERS[claim.kind](context, claim.params)
    progress(1.0, "storing")
    with runtime.database.begin() as session:
        for rows in context.writes:
            rows(session)
        jobs.finish(session, claim.job_id, claim.token, result, blobs=context.blobs)


def _end(runtime: Runtime, claim: jobs.Claim, work: Callable[[], None]) -> str:
    """Does the work and returns the state it ended in. LeaseLost passes."""
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
        named = _name_files_as_sent(session, claim, error)
        return str(jobs.fail(session, claim.job_id, claim.token, named)["state"])


def _name_files_as_sent(session: Session, claim: jobs.Claim, error: MudarError) -> MudarError:
    """Puts the names that the sender gave in the place of ours, which are hashes."""
    sent = str(claim.params.get("filename") or "")
    names = {str(claim.params.get("sha256") or ""): sent or "The file"}
    for item_id in claim.item_ids:
        with suppress(UnknownItem):
            item = get_item(session, item_id)
            names[item["sha256"]] = sent or item["title"] or item_id
    detail = error.detail
    for sha256, name in names.items():
        detail = detail.replace(sha256, name) if sha256 else detail
    return type(error)(detail, hint=error.hint)


def announce(runtime: Runtime, job_id: str, state: str) -> None:
    """Wakes whoever waits for the job; they poll a second later if this message is lost."""
    try:
        runtime.redis.publish(protocol.JOBS_CHANNEL, json.dumps({"id": job_id, "state": state}))
    except redis.RedisError as error:
        log.debug("not announced: %s", error)


def remove_from_queue_set(runtime: Runtime, job_id: str) -> None:
    """Notes that the id has left the queue."""
    try:
        runtime.redis.zrem(protocol.ENQUEUED, job_id)
    except redis.RedisError as error:
        log.debug("not removed from the queue's set: %s", error)
