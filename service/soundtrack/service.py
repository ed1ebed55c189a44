"""What POST /soundtrack and POST /sync do: one job about one dance of the library. Knows no HTTP."""

from __future__ import annotations

import dataclasses
from typing import Any

from mudar.errors import NoAudioStream, WrongKind
from mudar.library.items import get_item
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.retarget.service import checked
from service.schemas import SoundtrackRequest
from service.uploads import Form

RENDERED_SHARE = 3  # of the dance's length that searching, planning and rendering may take together


def soundtrack(container: Container, asked: SoundtrackRequest) -> dict[str, Any]:
    """The job that finds music for a dance and renders the best. UnknownItem, WrongKind, OutOfRange."""
    settings, model = checked(asked), container.shelf.resolve(None)
    lam = model.lambda_default if asked.lam is None else asked.lam
    params = {"model": model.id, "settings": dataclasses.asdict(settings), "k": asked.k, "lambda": lam}
    with container.database.begin() as session:
        item = _dance(get_item(session, asked.dance_id, model.id))
        media_s = RENDERED_SHARE * float(item["info"]["duration_s"])
        job = submit.create_job(container, session, submit.JobSpec("soundtrack", params, media_s, [asked.dance_id]))
    return submit.enqueue(container, job)


def sync(container: Container, item_id: str, fix: bool) -> dict[str, Any]:
    """The job that compares a stored clip's picture with its sound. UnknownItem, WrongKind, NoAudioStream."""
    model = container.shelf.resolve(None)
    with container.database.begin() as session:
        item = _dance(get_item(session, item_id, model.id))
        if item["info"]["audio"] is None:
            raise NoAudioStream("The clip has no sound of its own to compare with.", hint="Send a clip with sound.")
        wish = submit.JobSpec("sync", {"model": model.id, "fix": fix}, 2 * float(item["info"]["duration_s"]), [item_id])
        job = submit.create_job(container, session, wish)
    return submit.enqueue(container, job)


def sync_upload(container: Container, form: Form, fix: bool) -> dict[str, Any]:
    """The same for a file, which becomes an item."""
    upload = form.file("file")
    info = ingest.probe_upload(container, upload)
    if info.audio is None:
        raise NoAudioStream("The clip has no sound of its own to compare with.", hint="Send a clip with sound.")
    kinds = ingest.kinds_of(info, "dance")
    kept = ingest.store_upload(upload, info)
    with container.database.begin() as session:
        (item,) = ingest.write_items(session, kept, kinds, ingest.upload_metadata(form))
    return sync(container, str(item["id"]), fix or form.one("fix") in ("true", "1", "yes"))


def _dance(item: dict[str, Any]) -> dict[str, Any]:
    if item["kind"] != "dance":
        raise WrongKind(f"{item['id']} is a {item['kind']}, not a dance.", hint="Give a dance's id.")
    return item
