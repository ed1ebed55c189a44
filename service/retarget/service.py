"""Queues retargetings of two items, or of two files that become items, and finds what they left. Knows no HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from mudar.errors import NotReady, OutOfRange, UnknownJob, WrongKind
from mudar.library import jobs
from mudar.library.analyses import summary
from mudar.library.annotations import edition
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.library.jobs import JobSpec
from mudar.media.probe.models import require_dance, require_music
from mudar.records import Kind
from mudar.retarget.report.export import export
from mudar.retarget.settings import RetargetSettings
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.models.catalog import ModelInfo
from service.responses import Accepted
from service.retarget.schemas import RetargetForm, RetargetOptions, RetargetRequest
from service.uploads import Form

VIDEO_JOBS = ("retarget", "soundtrack", "sync")
REPORT_JOBS = ("retarget", "soundtrack")


def retarget(container: Container, request: RetargetRequest) -> Accepted:
    """The job for two items that are embedded. UnknownItem, WrongKind, NotReady, OutOfRange, UnknownMethod."""
    model, pair = container.catalog.resolve(None), (request.dance_id, request.music_id)
    params = _params(request, model)
    with container.database.begin() as session:
        media_s = _duration_s(session, pair[0], "dance", model.id) + _duration_s(session, pair[1], "music", model.id)
        job = submit.create_job(container, session, _spec(session, pair, params, model), media_s)
    return submit.enqueue(container, job)


def retarget_files(container: Container, form: Form) -> Accepted:
    """The job for two files; they become items, embedded on the way if they are new."""
    request = form.parse(RetargetForm)
    model = container.catalog.resolve(None)
    params = _params(request, model)
    dance, music = form.file("dance"), form.file("music")
    require_dance(dance_info := ingest.probe_upload(container, dance))
    require_music(music_info := ingest.probe_upload(container, music))
    stored_dance, stored_music = ingest.store_upload(dance, dance_info), ingest.store_upload(music, music_info)
    media_s = 2 * (dance_info.duration_s + music_info.duration_s)  # embedding and rendering each go through both
    with container.database.begin() as session:
        (dance_id,) = ingest.create_items(session, stored_dance, ["dance"])
        (music_id,) = ingest.create_items(session, stored_music, ["music"])
        spec = _spec(session, (dance_id, music_id), params, model)
        job = submit.create_job(container, session, spec, media_s)
    return submit.enqueue(container, job)


def check_settings(options: RetargetOptions) -> RetargetSettings:
    """The core's settings; OutOfRange or UnknownMethod when they make no sense."""
    names = {field.name for field in dataclasses.fields(RetargetSettings)}
    return RetargetSettings(**options.model_dump(include=names, exclude_unset=True))


def find_video(container: Container, job_id: str) -> Path:
    """The video that a job made. UnknownJob, NotReady."""
    with container.database.read() as session:
        job = jobs.get_job(session, job_id)
    if job["kind"] not in VIDEO_JOBS or (job["result"] or {}).get("dry_run"):
        raise UnknownJob(f"Job {job_id} makes no video.")
    if "video" not in job["blobs"]:
        raise NotReady(f"The video of job {job_id} is not there; the job is {job['state']}.")
    return container.blobs.path(job["blobs"]["video"])


def find_report(container: Container, job_id: str) -> Path:
    """The chart that a job drew. UnknownJob, NotReady."""
    job = _rendered_job(container, job_id)
    if "report" not in job["blobs"]:
        raise NotReady(f"Job {job_id} drew no report.")
    return container.blobs.path(job["blobs"]["report"])


def export_job(container: Container, job_id: str, form: str) -> str:
    """Time map and markers of a job in a form for other programs. UnknownJob, NotReady, OutOfRange."""
    job = _rendered_job(container, job_id)
    names = [f"/items/{item_id}/media" for item_id in job["item_ids"]]
    return export(job["result"]["report"], form, names[0], names[-1])


def _rendered_job(container: Container, job_id: str) -> dict[str, Any]:
    with container.database.read() as session:
        job = jobs.get_job(session, job_id)
    if job["kind"] not in REPORT_JOBS or (job["result"] or {}).get("dry_run"):
        raise UnknownJob(f"Job {job_id} makes no video.")
    if job["state"] != "done":
        raise NotReady(f"Job {job_id} is {job['state']}.")
    return job


def _duration_s(session: Session, item_id: str, kind: Kind, model: str) -> float:
    """The item's seconds; raises why it cannot be used as `kind`."""
    item = get_item(session, item_id, model)
    if item["kind"] != kind:
        raise WrongKind(f"{item_id} is a {item['kind']}, not a {kind}.", hint=f"Give a {kind}'s id as {kind}_id.")
    analysis = summary(session, item_id, model)
    if analysis is None:
        raise NotReady(f"{item_id} is not embedded with {model}; its job is {item['state']}.")
    return float(analysis["duration_s"])


def _spec(session: Session, pair: tuple[str, str], params: dict[str, Any], model: ModelInfo) -> JobSpec:
    editions = tuple(edition(session, item_id, model.id) for item_id in pair)
    work = json.dumps({**params, "edited": editions}, sort_keys=True)
    digest = hashlib.sha256(work.encode()).hexdigest()[:32]
    return JobSpec("retarget", params, pair, key=f"retarget:{pair[0]}:{pair[1]}:{digest}")


def _params(request: RetargetForm, model: ModelInfo) -> dict[str, Any]:
    """What the worker is given: the settings, and for a dry run the accents to predict a report for.

    OutOfRange or UnknownMethod when they make no sense.
    """
    if request.accents and not request.dry_run:
        raise OutOfRange("accents without dry_run: a video has one accent.", hint="Add dry_run, or give accent alone.")
    settings = check_settings(request)
    depths: list[float | None] = [*request.accents] or [request.accent]
    accents = [dataclasses.replace(settings, accent=accent).accent for accent in depths]
    params = {"model": model.id, "settings": dataclasses.asdict(settings)}
    return params | {"accents": accents} if request.dry_run else params
