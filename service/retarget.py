"""What POST /retarget does: two items of the library, or two files that become items, and one job. Knows no HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from mudar.errors import NotReady, WrongKind
from mudar.library import edits
from mudar.library.analyses import summary
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.media.probe import require_dance, require_music
from mudar.records import Kind
from mudar.retarget.settings import RetargetSettings
from service import dispatch, intake
from service.deps import House
from service.schemas import RetargetOptions, RetargetRequest
from service.shelf import ServedModel
from service.uploads import Form


def stored(house: House, asked: RetargetRequest) -> dict[str, Any]:
    """The job for two items that are embedded. UnknownItem, WrongKind, NotReady, OutOfRange, UnknownMethod."""
    settings, model = checked(asked), house.shelf.resolve(None)
    with house.database.begin() as session:
        dance_s = _ready(session, asked.dance_id, "dance", model.id)
        media_s = dance_s + _ready(session, asked.music_id, "music", model.id)
        edited = tuple(edits.edition(session, item_id, model.id) for item_id in (asked.dance_id, asked.music_id))
        job = dispatch.write(house, session, _wish(asked.dance_id, asked.music_id, settings, model, media_s, edited))
    return dispatch.send(house, job)


def uploaded(house: House, form: Form) -> dict[str, Any]:
    """The job for two files; they become items, embedded on the way if they are new."""
    settings = checked(RetargetOptions.model_validate({name: values[-1] for name, values in form.fields.items()}))
    model, said = house.shelf.resolve(None), intake.About("", [], {})
    dance, music = form.file("dance"), form.file("music")
    require_dance(dance_info := intake.look(house, dance))
    require_music(music_info := intake.look(house, music))
    kept_dance, kept_music = intake.keep(dance, dance_info), intake.keep(music, music_info)
    with house.database.begin() as session:
        (dance_item,) = intake.write_items(session, kept_dance, ["dance"], said)
        (music_item,) = intake.write_items(session, kept_music, ["music"], said)
        # The rendering and the embedding each go through both files.
        media_s = 2 * (dance_info.duration_s + music_info.duration_s)
        pair = dance_item["id"], music_item["id"]
        edited = tuple(edits.edition(session, item_id, model.id) for item_id in pair)
        job = dispatch.write(house, session, _wish(*pair, settings, model, media_s, edited))
    return dispatch.send(house, job)


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


def _wish(
    dance_id: str,
    music_id: str,
    settings: RetargetSettings,
    model: ServedModel,
    media_s: float,
    edited: tuple[int, ...] = (0, 0),
) -> dispatch.Wish:
    chosen = dataclasses.asdict(settings)
    return dispatch.Wish(
        kind="retarget",
        params={"model": model.id, "settings": chosen},
        media_s=media_s,
        item_ids=[dance_id, music_id],
        key=f"retarget:{dance_id}:{music_id}:{_digest({**chosen, 'model': model.id, 'edited': edited})}",
    )


def _digest(chosen: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:32]
