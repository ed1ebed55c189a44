"""Multipart bodies, streamed: files go to disk as they come, hashed on the way, cut at the cap while streaming.

The framework's own form parser takes a whole body before it looks at its size; this one stops at the first byte over
the cap and leaves nothing behind. Knows nothing of what is in a file.
"""

from __future__ import annotations

import errno
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from mudar.errors import BadRequest, StorageFull, UploadTooLarge

MAX_FIELD_BYTES = 256_000
MAX_PARTS = 64
WRITE_BYTES = 1_000_000


@dataclass(frozen=True)
class Upload:
    """A file that arrived whole: where it lies (until the request ends), what it hashes to, how it was called."""

    path: Path
    sha256: str
    size_bytes: int
    filename: str


@dataclass
class Form:
    """What a multipart body held; a field may come several times."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The field's last value, or None; an empty value counts as none."""
        values = [v for v in self.fields.get(name, []) if v.strip()]
        return values[-1].strip() if values else None

    def many(self, name: str) -> list[str]:
        """All values that are not empty."""
        return [v.strip() for v in self.fields.get(name, []) if v.strip()]

    def file(self, name: str) -> Upload:
        """The file of this name; BadRequest when there is none."""
        if name not in self.files:
            raise BadRequest(f"The multipart body has no file named `{name}`.")
        return self.files[name]


class _Part:
    """One part of the body while it is being read."""

    def __init__(self) -> None:
        self.header_name, self.header_value = bytearray(), bytearray()
        self.name, self.filename = "", ""
        self.data = bytearray()
        self.file: BinaryIO | None = None
        self.hash, self.size_bytes = hashlib.sha256(), 0


class _Receiver:
    """Callbacks of the parser; parsing collects bytes, `flush` (in a thread) hashes and writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.form, self.part, self.parts = folder, Form(), _Part(), 0
        self.ended = False

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
        return {f"on_{n}": getattr(self, f"on_{n}") for n in names} | {"on_headers_finished": self.on_headers_finished}

    def on_part_begin(self) -> None:
        self.part, self.parts = _Part(), self.parts + 1
        if self.parts > MAX_PARTS:
            raise BadRequest(f"The multipart body has more than {MAX_PARTS} parts.")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.part.header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.part.header_value += data[start:end]

    def on_header_end(self) -> None:
        if self.part.header_name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self.part.header_value))
            self.part.name = options.get(b"name", b"").decode("utf-8", "replace")
            if b"filename" in options:
                self.part.filename = options[b"filename"].decode("utf-8", "replace")
                self.part.file = (self.folder / uuid.uuid4().hex).open("wb")
        self.part.header_name, self.part.header_value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        if not self.part.name:
            raise BadRequest("A part of the multipart body has no name.")
        if self.part.file is not None and self.part.name in self.form.files:
            raise BadRequest(f"There are two files named `{self.part.name}`; send one a request.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.part.data += data[start:end]
        if self.part.file is not None:
            if len(self.part.data) >= WRITE_BYTES:
                self._write()
        elif len(self.part.data) > MAX_FIELD_BYTES:
            raise BadRequest(f"The field `{self.part.name}` is longer than {MAX_FIELD_BYTES} bytes.")

    def _write(self) -> None:
        part = self.part
        assert part.file is not None
        part.file.write(part.data)
        part.hash.update(part.data)
        part.size_bytes += len(part.data)
        part.data = bytearray()

    def on_part_end(self) -> None:
        part = self.part
        if part.file is None:
            self.form.fields.setdefault(part.name, []).append(part.data.decode("utf-8", "replace"))
            return
        self._write()
        part.file.close()
        path = Path(part.file.name)
        self.form.files[part.name] = Upload(path, part.hash.hexdigest(), part.size_bytes, Path(part.filename).name)

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Closes what is open; what is written stays until the folder goes."""
        if self.part.file is not None:
            self.part.file.close()


def _too_large(cap_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"The upload is larger than {cap_bytes / 1e6:g} MB.")


async def _read(request: Request, folder: Path, cap_bytes: int) -> Form:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise BadRequest("Send the file as multipart/form-data.")
    if int(request.headers.get("content-length", 0)) > cap_bytes:
        raise _too_large(cap_bytes)
    receiver, seen = _Receiver(folder), 0
    parser = MultipartParser(options[b"boundary"], receiver.callbacks())  # type: ignore[arg-type]
    chunks = bytearray()
    try:
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > cap_bytes:
                raise _too_large(cap_bytes)
            chunks += chunk
            if len(chunks) >= WRITE_BYTES:  # one trip to a thread a megabyte, not one a packet
                await run_in_threadpool(parser.write, bytes(chunks))
                chunks.clear()
        await run_in_threadpool(parser.write, bytes(chunks))
    except FormParserError as error:
        raise BadRequest(f"The multipart body cannot be read: {error}") from error
    except ClientDisconnect as error:
        raise BadRequest("The client went away in mid-upload.") from error
    finally:
        receiver.close()
    if not receiver.ended:
        raise BadRequest("The multipart body ends too early.")
    return receiver.form


@asynccontextmanager
async def receive(request: Request, temp_root: Path, cap_bytes: int) -> AsyncIterator[Form]:
    """The request's form; its files lie under `temp_root` until the block ends, then whatever was not adopted goes.

    Raises UploadTooLarge, StorageFull, BadRequest.
    """
    folder = temp_root / f"upload-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
        yield await _read(request, folder, cap_bytes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("There is no room left for this upload.") from error
        raise
    finally:
        await run_in_threadpool(_remove, folder)


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()
