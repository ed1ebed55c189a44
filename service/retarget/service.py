"""What POST /retarget does: two items of the library, or two files that become items, and one job. Knows no HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from mudar.errors import NotReady, OutOfRange, WrongKind
from mudar.library import annotations as edits
from mudar.library.analyses import summary
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.media.probe.probe import require_dance, require_music
from mudar.records import Kind
from mudar.retarget.settings import RetargetSettings
from service.container import Container
from service.embed import ingest
from service.jobs import submit
from service.models.catalog import ModelInfo
from service.schemas import RetargetOptions, RetargetRequest, RetargetWish
from service.uploads import Form


def stored(container: Container, asked: RetargetRequest) -> dict[str, Any]:
    """The job for two items that are embedded. UnknownItem, WrongKind, NotReady, OutOfRange, UnknownMethod."""
    model = container.shelf.resolve(None)
    params = _params(asked, model)
    with container.database.begin() as session:
        dance_s = _ready(session, asked.dance_id, "dance", model.id)
        media_s = dance_s + _ready(session, asked.music_id, "music", model.id)
        edited = tuple(edits.edition(session, item_id, model.id) for item_id in (asked.dance_id, asked.music_id))
        pair = asked.dance_id, asked.music_id
        job = submit.create_job(container, session, _wish(pair, params, media_s, edited))
    return submit.enqueue(container, job)


def uploaded(container: Container, form: Form) -> dict[str, Any]:
    """The job for two files; they become items, embedded on the way if they are new."""
    asked = RetargetWish.model_validate({name: values[-1] for name, values in form.fields.items()})
    model, said = container.shelf.resolve(None), ingest.UploadMetadata("", [], {})
    params = _params(asked, model)
    dance, music = form.file("dance"), form.file("music")
    require_dance(dance_info := ingest.probe_upload(container, dance))
    require_music(music_info := ingest.probe_upload(container, music))
    kept_dance, kept_music = ingest.store_upload(dance, dance_info), ingest.store_upload(music, music_info)
    with container.database.begin() as session:
        (dance_item,) = ingest.write_items(session, kept_dance, ["dance"], said)
        (music_item,) = ingest.write_items(session, kept_music, ["music"], said)
        # The rendering and the embedding each go through both files.
        media_s = 2 * (dance_info.duration_s + music_info.duration_s)
        pair = dance_item["id"], music_item["id"]
        edited = tuple(edits.edition(session, item_id, model.id) for item_id in pair)
        job = submit.create_job(container, session, _wish(pair, params, media_s, edited))
    return submit.enqueue(container, job)


def checked(options: RetargetOptions) -> RetargetSettings:
    """The core's settings; OutOfRange or UnknownMethod when they make no sense."""
    names = {field.name for field in dataclasses.fields(RetargetSettings)}
    given = options.model_dump(exclude_unset=True)
    return RetargetSettings(**{name: value for name, value in given.items() if name in names})


def _ready(session: Session, item_id: str, kind: Kind, model: str) -> float:
    """The item's seconds; raises why it cannot be used as `kind`."""
    item = get_item(session, item_id, model)
    if item["kind"] != kind:
        raise WrongKind(f"{item_id} is a {item['kind']}, not a {kind}.", hint=f"Give a {kind}'s id as {kind}_id.")
    found = summary(session, item_id, model)
    if found is None:
        raise NotReady(f"{item_id} is not embedded with {model}; its job is {item['state']}.")
    return float(found["duration_s"])


def _wish(pair: tuple[str, str], params: dict[str, Any], media_s: float, edited: tuple[int, ...]) -> submit.JobSpec:
    return submit.JobSpec(
        kind="retarget",
        params=params,
        media_s=media_s,
        item_ids=pair,
        key=f"retarget:{pair[0]}:{pair[1]}:{_digest({**params, 'edited': edited})}",
    )


def _params(asked: RetargetWish, model: ModelInfo) -> dict[str, Any]:
    """What the worker is told: the settings, and for a dry run the accents to foretell a report for.

    OutOfRange or UnknownMethod when they make no sense.
    """
    if asked.accents and not asked.dry_run:
        raise OutOfRange("accents without dry_run: a video has one accent.", hint="Add dry_run, or give accent alone.")
    settings = checked(asked)
    accents = [dataclasses.replace(settings, accent=accent).accent for accent in asked.accents or [asked.accent]]
    told = {"model": model.id, "settings": dataclasses.asdict(settings)}
    return told | {"accents": accents} if asked.dry_run else told


def _digest(chosen: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:32]
