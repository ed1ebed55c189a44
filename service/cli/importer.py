"""Imports a folder into the library: which files, which of them are there already, and what became of each.

What the library holds is known by its bytes (sha256), so a run that was killed goes on where it stopped: what is there
is not sent again, what is being embedded is waited for. Knows the client; no screen, no database.
"""

from __future__ import annotations

import csv
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mudar.errors import BadRequest, Cancelled, MudarError, UnreadableMedia
from service.client import Client, Json, Unreachable

VIDEO_SUFFIXES = {".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v"}
AUDIO_SUFFIXES = {".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac"}
_PLAIN = ("file", "title", "labels", "kind")  # columns with a meaning of their own; others become metadata
_TRIES, _FIRST_PAUSE_S = 6, 0.5  # a service that restarts is back within half a minute
_POLL_S = 2.0


@dataclass(frozen=True)
class ImportEntry:
    """A file, and what is said of it. `name`: its path below the folder."""

    path: Path
    name: str
    kind: str | None = None
    title: str = ""
    labels: tuple[str, ...] = ()
    metadata: Json = field(default_factory=dict)

    @property
    def kinds(self) -> int:
        """How many items it makes."""
        return 2 if self.kind == "both" else 1


@dataclass(frozen=True)
class Outcome:
    """What became of a file: it is new, was there, is the same as another of this run, or cannot be used."""

    file: str
    outcome: Literal["added", "known", "duplicate", "failed"]
    items: list[str] = field(default_factory=list)
    error: Json | None = None

    def record(self) -> Json:
        """As JSON."""
        return dict(vars(self))


def in_folder(folder: Path, kind: str | None = None, labels: Sequence[str] = ()) -> list[ImportEntry]:
    """Every file below `folder` that looks like a video or like music, by name; hidden ones are left alone."""
    if not folder.is_dir():
        raise BadRequest(f"There is no folder {folder}.", hint="Give the folder that the clips lie in.")
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if _looks_right(path.relative_to(folder)))
    return [
        ImportEntry(folder / name, str(name), kind, labels=tuple(labels)) for name in names if (folder / name).is_file()
    ]


def in_table(folder: Path, table: Path, kind: str | None = None, labels: Sequence[str] = ()) -> list[ImportEntry]:
    """The files of a CSV table: `file` (below `folder`); `title`, `labels` (;), `kind`; all else is metadata."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as rows:
            lines = list(csv.DictReader(rows))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"The table {table} cannot be read: {error}") from error
    if not lines or "file" not in lines[0]:
        raise BadRequest(f"The table {table} has no column `file`.", hint="Its first line names the columns.")
    return [_from_row(folder, row, kind, labels) for row in lines]


def _from_row(folder: Path, row: dict[str, Any], kind: str | None, labels: Sequence[str]) -> ImportEntry:
    own = [label.strip() for label in (row.get("labels") or "").split(";") if label.strip()]
    metadata = {key: value for key, value in row.items() if key and key not in _PLAIN and value}
    every = tuple(dict.fromkeys([*labels, *own]))
    return ImportEntry(
        folder / row["file"], row["file"], row.get("kind") or kind, row.get("title") or "", every, metadata
    )


def _looks_right(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and name.suffix.lower() in VIDEO_SUFFIXES | AUDIO_SUFFIXES


class BulkImport:
    """One run. Each of `parallel` threads takes a file, sends it if it must, and waits for its job."""

    def __init__(self, client: Client, parallel: int) -> None:
        self._client, self._parallel = client, parallel
        self._model: str = client.served_model()
        self._stopping = threading.Event()
        self._first_names: dict[str, str] = {}  # sha256: the first file of this run that has it
        self._lock = threading.Lock()

    def run(self, files: Sequence[ImportEntry]) -> Iterator[Outcome]:
        """The outcomes as they come, until all are there or somebody says stop."""
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                for done in as_completed([pool.submit(self._one, file) for file in files]):
                    if self.stopped:
                        return
                    yield done.result()
            finally:
                self.stop()
                pool.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """End the run soon; what was sent goes on in the service."""
        self._stopping.set()

    @property
    def stopped(self) -> bool:
        """Whether somebody said stop, or the run is over."""
        return self._stopping.is_set()

    def _one(self, file: ImportEntry) -> Outcome:
        pause_s = _FIRST_PAUSE_S
        for _ in range(_TRIES - 1):
            try:
                return self._taken(file)
            except Unreachable:  # nothing was lost: the next try finds what this one left
                self._stopping.wait(pause_s)
                pause_s *= 2
        try:
            return self._taken(file)
        except Unreachable as error:
            return _failed(file, error)

    def _taken(self, file: ImportEntry) -> Outcome:
        try:
            sha256 = _hash(file.path)
            with self._lock:
                first = self._first_names.setdefault(sha256, file.name)
            if first != file.name:
                return Outcome(file.name, "duplicate")
            return self._known(file, sha256) or self._sent(file)
        except Unreachable:
            raise
        except MudarError as error:
            return _failed(file, error)

    def _known(self, file: ImportEntry, sha256: str) -> Outcome | None:
        """The outcome when these bytes are in the library, or on their way into it, with all that is said of them."""
        there = list(self._client.items(sha256=sha256, model=self._model))
        there = [item for item in there if file.kind in (None, "both", item["kind"])]
        if len(there) < file.kinds or not all(set(file.labels) <= set(item["labels"]) for item in there):
            return None
        if all(item["state"] == "ready" for item in there):
            return Outcome(file.name, "known", [item["id"] for item in there])
        if all(item["state"] in ("ready", "queued", "running") for item in there):
            return self._ended(file, next(item["job_id"] for item in there if item["state"] != "ready"))
        return None

    def _sent(self, file: ImportEntry) -> Outcome:
        said: Json = {"kind": file.kind, "title": file.title, "labels": list(file.labels), "metadata": file.metadata}
        return self._ended(file, self._client.embed(file.path, **said)["job_id"])

    def _ended(self, file: ImportEntry, job_id: str) -> Outcome:
        result = self._client.result(job_id, self._watch, poll_s=_POLL_S)
        return Outcome(file.name, "added", [item["id"] for item in result["items"]])

    def _watch(self, job: Json) -> None:
        if self._stopping.is_set():
            raise Cancelled("The run was ended; the job goes on.")


def _failed(file: ImportEntry, error: MudarError) -> Outcome:
    return Outcome(file.name, "failed", error={"code": error.code, "detail": error.detail, "hint": error.hint})


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableMedia(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error
