"""From a file that arrived to an item of the library: look at it, keep it, write it down. Knows no HTTP.

The look happens in a child process that can be killed: what a file claims to be is nobody's promise.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mudar.errors import BadRequest, MediaError, WrongKind
from mudar.library.db import Session
from mudar.library.items import create_item
from mudar.media.probe.probe import MediaInfo, ProbeLimits, probe_in_child, require_dance, require_music
from mudar.records import Kind
from service.container import Container
from service.uploads import Form, Upload

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac"}


@dataclass(frozen=True)
class StoredUpload:
    """A file that was looked at and lies in the blob store."""

    sha256: str
    size_bytes: int
    media_type: str
    info: MediaInfo
    title: str


@dataclass(frozen=True)
class UploadMetadata:
    """What the sender said about a file."""

    title: str
    labels: list[str]
    metadata: dict[str, Any]


def probe_upload(container: Container, upload: Upload) -> MediaInfo:
    """What the file holds; raises the media error that says why it cannot be used."""
    told = container.settings
    limits = ProbeLimits(max_duration_s=told.max_duration_s, max_pixels=told.max_pixels)
    name = upload.filename or "The file"  # the sender knows the file by its own name, not by ours
    try:
        info = probe_in_child(upload.path, limits, timeout_s=told.probe_timeout_s)
    except MediaError as error:
        raise type(error)(error.detail.replace(upload.path.name, name), hint=error.hint) from error
    return dataclasses.replace(info, path=name)


def kinds_of(info: MediaInfo, asked: str | None) -> list[Kind]:
    """Which items the file makes: what was asked, else a dance if it has a picture, else music."""
    if asked not in (None, "dance", "music", "both"):
        raise WrongKind(f"There is no kind {asked!r}.", hint="Use dance, music or both, or leave kind out.")
    asked = asked or ("dance" if info.video else "music")
    kinds: list[Kind] = ["dance", "music"] if asked == "both" else ["music"] if asked == "music" else ["dance"]
    for kind in kinds:
        (require_dance if kind == "dance" else require_music)(info)
    return kinds


def store_upload(upload: Upload, info: MediaInfo) -> StoredUpload:
    """The file among the library's own; StorageFull leaves nothing behind."""
    blob = upload.keep()
    return StoredUpload(
        blob.sha256, blob.size_bytes, media_type(describe(info)), info, upload.filename.rsplit(".", 1)[0]
    )


def media_type(info: dict[str, Any]) -> str:
    """A content type that a browser plays and never runs as a page, from what the probe saw."""
    names, moving = info["container"].split(","), info["video"] is not None
    if "webm" in names or "matroska" in names:
        return "video/webm" if moving else "audio/webm"
    if "mp4" in names:
        return "video/mp4" if moving else "audio/mp4"
    return next((_AUDIO_TYPES[name] for name in names if name in _AUDIO_TYPES), "application/octet-stream")


def upload_metadata(form: Form) -> UploadMetadata:
    """Title, labels and metadata of a form; BadRequest when metadata is no JSON object."""
    try:
        metadata = json.loads(form.one("metadata") or "{}")
    except ValueError as error:
        raise BadRequest(f"metadata is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise BadRequest('metadata must be a JSON object, like {"dancer": "Ana"}.')
    return UploadMetadata(form.one("title") or "", form.many("labels"), metadata)


def write_items(
    session: Session, kept: StoredUpload, kinds: Sequence[Kind], said: UploadMetadata
) -> list[dict[str, Any]]:
    """The file's items, made if they are not there yet; the second is linked to the first."""
    made: list[dict[str, Any]] = []
    for kind in kinds:
        made.append(
            create_item(
                session,
                kept.sha256,
                kind,
                said.title or kept.title,
                said.labels,
                said.metadata,
                describe(kept.info),
                linked_to=made[0]["id"] if made else None,
                size_bytes=kept.size_bytes,
                media_type=kept.media_type,
            )
        )
    return made


def describe(info: MediaInfo) -> dict[str, Any]:
    """What the probe saw, as JSON; without the path, which is nobody's business."""
    return {key: value for key, value in dataclasses.asdict(info).items() if key != "path"}
