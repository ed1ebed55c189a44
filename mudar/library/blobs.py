"""Stores files by the sha256 of their bytes: written beside, flushed to the disk, renamed, never half there.

    root/ab/cd/abcd...     the files, never changed once they are there
    root/tmp/              where uploads and renders grow; on the same file system, so a rename is atomic
    root/lock              held shared while a file comes in, exclusively while one is collected

Knows files only; which of them are needed is the database's business (blob_gc.py).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from mudar.errors import ItemDeleted, StorageFull, UploadTooLarge

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """A file that is safely stored."""

    sha256: str
    size_bytes: int


@contextmanager
def room(what: str) -> Iterator[None]:
    """Turns the system's ways of saying "no room left" into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"no room left for {what}") from error
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class BlobStore:
    """A folder of content-addressed files, shared by any number of processes of one machine (or one NFS)."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.temporary = self.root / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the file of this hash lies. ItemDeleted when it is gone; ValueError when this is no sha256."""
        path = self._path_of(sha256)
        if not path.is_file():
            raise ItemDeleted(f"the file {sha256[:12]} is no longer stored")
        return path

    def has(self, sha256: str) -> bool:
        """Whether the file of this hash is there."""
        return self._path_of(sha256).is_file()

    def temp_path(self, suffix: str = "") -> Path:
        """A fresh name inside the store, for a file to be adopted; whoever takes it removes it on failure."""
        return self.temporary / f"{secrets.token_hex(12)}{suffix}"

    def writer(self, max_bytes: int | None = None) -> BlobWriter:
        """Takes bytes as they come; use as a context manager, and call `commit` at the end."""
        return BlobWriter(self, max_bytes)

    def put_stream(self, chunks: Iterable[bytes] | IO[bytes], max_bytes: int | None = None) -> Blob:
        """Store what comes; UploadTooLarge beyond `max_bytes`, StorageFull; neither leaves anything behind."""
        if not isinstance(chunks, Iterable) or hasattr(chunks, "read"):
            stream: IO[bytes] = chunks  # type: ignore[assignment]
            chunks = iter(lambda: stream.read(_BLOCK_BYTES), b"")
        with self.writer(max_bytes) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    def adopt(self, path: Path | str) -> Blob:
        """Take a finished file into the store; it is moved where that is possible, else copied and removed."""
        path = Path(path)
        if path.stat().st_dev != self.root.stat().st_dev:
            with path.open("rb") as stream:
                blob = self.put_stream(stream)
            path.unlink()
            return blob
        digest, size_bytes = hashlib.sha256(), 0
        with path.open("rb") as stream, room("the file"):
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
            os.fsync(stream.fileno())
        return self._move_in(path, Blob(digest.hexdigest(), size_bytes))

    def _move_in(self, path: Path, blob: Blob) -> Blob:
        """Rename a flushed file into its place, or drop it when its bytes are there already."""
        target = self._path_of(blob.sha256)
        with room("the file"), self._locked(fcntl.LOCK_SH):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_file() and target.stat().st_size == blob.size_bytes:
                os.utime(target)  # young again, so that the collection of garbage waits
                path.unlink()
            else:
                os.utime(path)
                path.chmod(0o644)
                path.rename(target)
                for folder in (target.parent, target.parent.parent, self.root):
                    _sync_folder(folder)
        return blob

    def sweep(self, needed: set[str], grace_s: float) -> list[str]:
        """Remove files that are not needed and at least `grace_s` old, and what uploads left behind a day ago.

        `needed` must have been read after the last change that could make a file needed without touching it.
        """
        gone = []
        for target in self.root.glob("??/??/*"):
            if target.name not in needed and self._remove_if_older(target, grace_s):
                gone.append(target.name)
        for path in self.temporary.iterdir():
            self._remove_if_older(path, max(grace_s, 86_400.0))
        return gone

    def _remove_if_older(self, path: Path, age_s: float) -> bool:
        with self._locked(fcntl.LOCK_EX):  # nobody can make it young again between the look and the removal
            try:
                if time.time() - path.stat().st_mtime < age_s:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def _path_of(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{sha256!r} is no sha256")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)


class BlobWriter:
    """A file that grows inside the store; leaves nothing behind unless `commit` was called."""

    def __init__(self, store: BlobStore, max_bytes: int | None) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.path = store.temp_path()
        with room("an upload"):
            self._file = self.path.open("xb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """Append. UploadTooLarge, StorageFull."""
        if self._max_bytes is not None and self.size_bytes + len(chunk) > self._max_bytes:
            raise UploadTooLarge(f"the upload is larger than {self._max_bytes / 1e6:.0f} MB")
        rest = memoryview(chunk)
        with room("an upload"):
            while rest:  # a raw write may take less than it is given, as on a disk that is almost full
                rest = rest[self._file.write(rest) :]
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def commit(self) -> Blob:
        """Flush to the disk and move into place."""
        with room("an upload"):
            os.fsync(self._file.fileno())
        self._file.close()
        return self._store._move_in(self.path, Blob(self._digest.hexdigest(), self.size_bytes))

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
