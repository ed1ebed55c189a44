"""Makes items of files that arrived: probes them, stores them, creates their rows. Knows no HTTP.

Probing happens in a child process that can be killed: what a file claims to be is nobody's promise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from mudar.errors import MudarError, WrongKind
from mudar.library.db import Session
from mudar.library.items import NewItem, clean_labels, create_item
from mudar.library.serialization import clean_text, parse_json_object
from mudar.media.probe.models import MediaInfo, ProbeLimits, require_dance, require_music
from mudar.media.probe.probe import probe_in_child
from mudar.records import Kind
from service.container import Container
from service.uploads import Form, Upload

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac"}


@dataclass(frozen=True)
class StoredUpload:
    """Describes a file that was probed and lies in the blob store."""

    sha256: str
    size_bytes: int
    media_type: str
    info: MediaInfo
    title: str


@dataclass(frozen=True)
class UploadMetadata:
    """Holds what the sender said about a file."""

    title: str = ""
    labels: Sequence[str] = ()
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


def probe_upload(container: Container, upload: Upload) -> MediaInfo:
    """Finds out what the file holds; raises the error that says why it cannot be used."""
    settings = container.settings
    limits = ProbeLimits(max_duration_s=settings.max_duration_s, max_pixels=settings.max_pixels)
    name = upload.filename or "The file"  # the sender knows the file by its own name, not by ours
    try:
        info = probe_in_child(upload.path, limits, timeout_s=settings.probe_timeout_s)
    except MudarError as error:
        raise type(error)(error.detail.replace(upload.path.name, name), hint=error.hint) from error
    return dataclasses.replace(info, path=name)


def kinds_of(info: MediaInfo, requested: str | None) -> list[Kind]:
    """Which items the file makes: what was requested, else a dance if it has a picture that moves, else music."""
    if requested not in (None, "dance", "music", "both"):
        raise WrongKind(f"There is no kind {requested!r}.", hint="Use dance, music or both, or leave kind out.")
    requested = requested or info.kind
    kinds: list[Kind] = ["dance", "music"] if requested == "both" else ["music"] if requested == "music" else ["dance"]
    for kind in kinds:
        (require_dance if kind == "dance" else require_music)(info)
    return kinds


def store_upload(upload: Upload, info: MediaInfo) -> StoredUpload:
    """Puts the file among the library's own; StorageFull leaves nothing behind."""
    blob = upload.store()
    kind = media_type(info.container, info.video is not None)
    return StoredUpload(blob.sha256, blob.size_bytes, kind, info, upload.filename.rsplit(".", 1)[0])


def media_type(container: str, has_video: bool) -> str:
    """A content type that a browser plays and never runs as a page, from the probed container's names."""
    names = container.split(",")
    if "webm" in names or "matroska" in names:
        return "video/webm" if has_video else "audio/webm"
    if "mp4" in names:
        return "video/mp4" if has_video else "audio/mp4"
    return next((_AUDIO_TYPES[name] for name in names if name in _AUDIO_TYPES), "application/octet-stream")


def upload_metadata(form: Form) -> UploadMetadata:
    """Title, labels and metadata of a form; BadRequest for what could not be stored or read back."""
    title = clean_text(form.one("title") or "", "title")
    metadata = parse_json_object(form.one("metadata") or "{}", "metadata")
    return UploadMetadata(title, clean_labels(form.many("labels")), metadata)


def create_items(
    session: Session, stored: StoredUpload, kinds: Sequence[Kind], metadata: UploadMetadata | None = None
) -> list[str]:
    """The ids of the file's items, made if they are not there yet; the second is linked to the first."""
    metadata, ids = metadata or UploadMetadata(), list[str]()
    info = {name: value for name, value in stored.info.to_dict().items() if name != "path"}
    for kind in kinds:
        item = NewItem(
            stored.sha256,
            kind,
            metadata.title or stored.title,
            metadata.labels,
            metadata.metadata,
            info,
            linked_to=ids[0] if ids else None,
            size_bytes=stored.size_bytes,
            media_type=stored.media_type,
        )
        ids.append(str(create_item(session, item)["id"]))
    return ids
