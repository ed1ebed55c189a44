"""Queues jobs about one dance: music for it, and whether its own is in time. Knows no HTTP."""

from __future__ import annotations

import dataclasses

from mudar.errors import BadRequest, NoAudioStream, WrongKind
from mudar.library.items import get_item
from mudar.library.jobs import JobSpec
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.responses import Accepted
from service.retarget.service import check_settings
from service.soundtrack.schemas import SoundtrackRequest, SyncOptions, SyncRequest
from service.uploads import Form

RENDERED_SHARE = 3  # of the dance's length that searching, planning and rendering may take in all


def soundtrack(container: Container, request: SoundtrackRequest) -> Accepted:
    """The job that finds music for a dance and renders the best. UnknownItem, WrongKind, OutOfRange."""
    settings, model = check_settings(request), container.catalog.resolve(None)
    lam = model.lambda_default if request.lam is None else request.lam
    params = {"model": model.id, "settings": dataclasses.asdict(settings), "k": request.k, "lambda": lam}
    with container.database.begin() as session:
        item = get_item(session, request.dance_id, model.id)
        _require_dance(request.dance_id, item["kind"])
        media_s = RENDERED_SHARE * float(item["info"]["duration_s"])
        job = submit.create_job(container, session, JobSpec("soundtrack", params, [request.dance_id]), media_s)
    return submit.enqueue(container, job)


def sync(container: Container, request: SyncRequest) -> Accepted:
    """The job that compares a stored clip's picture with its sound. UnknownItem, WrongKind, NoAudioStream."""
    if request.item_id is None:
        raise BadRequest("Give item_id, or a multipart file.")
    model = container.catalog.resolve(None)
    with container.database.begin() as session:
        item = get_item(session, request.item_id, model.id)
        _require_dance(request.item_id, item["kind"])
        _require_sound(item["info"]["audio"] is not None)
        spec = JobSpec("sync", {"model": model.id, "fix": request.fix}, [request.item_id])
        job = submit.create_job(container, session, spec, 2 * float(item["info"]["duration_s"]))
    return submit.enqueue(container, job)


def sync_file(container: Container, form: Form, options: SyncOptions) -> Accepted:
    """The same for a file, which becomes an item."""
    upload = form.file("file")
    info = ingest.probe_upload(container, upload)
    _require_sound(info.audio is not None)
    kinds = ingest.kinds_of(info, "dance")
    stored = ingest.store_upload(upload, info)
    with container.database.begin() as session:
        (item_id,) = ingest.create_items(session, stored, kinds, ingest.upload_metadata(form))
    fix = options.fix or form.one("fix") in ("true", "1", "yes")
    return sync(container, SyncRequest(item_id=item_id, fix=fix))


def _require_dance(item_id: str, kind: str) -> None:
    if kind != "dance":
        raise WrongKind(f"{item_id} is a {kind}, not a dance.", hint="Give a dance's id.")


def _require_sound(has_sound: bool) -> None:
    if not has_sound:
        raise NoAudioStream("The clip has no sound of its own to compare with.", hint="Send a clip with sound.")
