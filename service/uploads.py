"""Streams multipart bodies: files go to disk as they come, hashed on the way, cut off at the cap.

The framework's own form parser takes a whole body before it looks at its size; this one stops at the first byte over
the cap and leaves nothing behind. Knows nothing of what is in a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import anyio
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mudar.errors import BadRequest, UploadTooLarge
from mudar.library.blobs import Blob, BlobStore, BlobWriter
from mudar.library.serialization import clean_text, is_text
from service.body_limit import has_body
from service.container import ContainerDep

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

M = TypeVar("M", bound=BaseModel)

MAX_FIELD_BYTES = 256_000
LINGER_S = 2.0
LINGER_BYTES = 64_000_000
MAX_PARTS = 256
WRITE_BYTES = 1_000_000


@dataclass(frozen=True)
class Upload:
    """Holds a file that arrived completely; it is removed when the request ends, unless it was stored."""

    filename: str
    writer: BlobWriter

    @property
    def path(self) -> Path:
        """Where it lies until then."""
        return self.writer.path

    def store(self) -> Blob:
        """Puts it among the library's files. StorageFull."""
        return self.writer.commit()


@dataclass
class Form:
    """Holds what a multipart body brought; a field may come several times."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The field's last value, or None; an empty value counts as none."""
        values = [v for v in self.fields.get(name, []) if v.strip()]
        return values[-1].strip() if values else None

    def many(self, name: str) -> list[str]:
        """All values that are not empty."""
        return [v.strip() for v in self.fields.get(name, []) if v.strip()]

    def parse(self, model: type[M], *names: str) -> M:
        """The fields as a model: those of these names that are not empty, or all of them where none is named.

        A field that the model knows as a list keeps all its values, others the last. RequestValidationError.
        """
        lists = {name for name, field in model.model_fields.items() if field.annotation == list[str]}
        given = {name: self.many(name) for name in names if self.many(name)} if names else self.fields
        try:
            return model.model_validate({n: values if n in lists else values[-1] for n, values in given.items()})
        except ValidationError as error:
            raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from error

    def file(self, name: str) -> Upload:
        """The file of this name; BadRequest when there is none, or more than one."""
        uploads = self.every(name)
        if len(uploads) > 1:
            raise BadRequest(f"There are {len(uploads)} files named `{name}`; send one a request.")
        return uploads[0]

    def every(self, name: str) -> list[Upload]:
        """The files of this name, in their order; BadRequest when there is none."""
        if name not in self.files:
            raise BadRequest(f"The multipart body has no file named `{name}`.")
        return self.files[name]


class _Part:
    """One part of the body while it is being read."""

    def __init__(self) -> None:
        self.header_name, self.header_value = bytearray(), bytearray()
        self.name, self.filename = "", ""
        self.data = bytearray()
        self.file: BlobWriter | None = None


class _Receiver:
    """What the parser calls, in a thread: fields are collected, files written and hashed as they come."""

    def __init__(self, store: BlobStore, open_files: ExitStack) -> None:
        self.store, self.open_files = store, open_files
        self.form, self.part, self.parts, self.ended = Form(), _Part(), 0, False

    def callbacks(self) -> MultipartCallbacks:
        """The parser's table of what happens when."""
        return {
            "on_part_begin": self.on_part_begin,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_end": self.on_end,
        }

    def on_part_begin(self) -> None:
        self.part, self.parts = _Part(), self.parts + 1
        if self.parts > MAX_PARTS:
            raise BadRequest(f"The multipart body has more than {MAX_PARTS} parts.")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.part.header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.part.header_value += data[start:end]

    def on_header_end(self) -> None:
        part = self.part
        if part.header_name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(part.header_value))
            part.name = clean_text(options.get(b"name", b"").decode("utf-8", "replace"), "a part's name", longest=100)
            if b"filename" in options:
                part.filename = clean_text(options[b"filename"].decode("utf-8", "replace"), "the file's name")
                part.file = self.open_files.enter_context(self.store.writer())
        part.header_name, part.header_value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        if not self.part.name:
            raise BadRequest("A part of the multipart body has no name.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.part.file is not None:
            self.part.file.write(data[start:end])
            return
        self.part.data += data[start:end]
        if len(self.part.data) > MAX_FIELD_BYTES:
            raise BadRequest(f"The field `{self.part.name}` is longer than {MAX_FIELD_BYTES} bytes.")

    def on_part_end(self) -> None:
        part = self.part
        if part.file is None:
            text = part.data.decode("utf-8", "replace")
            if not is_text(text):
                raise BadRequest(f"The field `{part.name}` holds a character that is not text.")
            self.form.fields.setdefault(part.name, []).append(text)
        else:
            self.form.files.setdefault(part.name, []).append(Upload(Path(part.filename).name, part.file))

    def on_end(self) -> None:
        self.ended = True


def _too_large(cap_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(f"The upload is larger than {cap_bytes / 1e6:g} MB.")


async def _read(request: Request, receiver: _Receiver, cap_bytes: int) -> Form:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise BadRequest("Send the file as multipart/form-data.")
    if int(request.headers.get("content-length", 0)) > cap_bytes:
        raise _too_large(cap_bytes)
    received, pending = 0, bytearray()
    try:
        parser = MultipartParser(options[b"boundary"], receiver.callbacks())
        async for chunk in request.stream():
            received += len(chunk)
            if received > cap_bytes:
                raise _too_large(cap_bytes)
            pending += chunk
            if len(pending) >= WRITE_BYTES:  # one trip to a thread a megabyte, not one a packet
                await run_in_threadpool(parser.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(parser.write, bytes(pending))
    except FormParserError as error:
        raise BadRequest(f"The multipart body cannot be read: {error}") from error
    except ClientDisconnect as error:
        raise BadRequest("The client went away in mid-upload.") from error
    if not receiver.ended:
        raise BadRequest("The multipart body ends too early.")
    return receiver.form


@asynccontextmanager
async def receive(request: Request, store: BlobStore, cap_bytes: int) -> AsyncIterator[Form]:
    """The request's form; what the block does not keep is gone when it ends.

    Raises UploadTooLarge, StorageFull, BadRequest.
    """
    with ExitStack() as open_files:
        yield await _read(request, _Receiver(store, open_files), cap_bytes)


async def receive_form(request: Request, container: ContainerDep) -> AsyncIterator[Form]:
    """Gives an endpoint the form that `receive` reads."""
    async with receive(request, container.blobs, container.settings.max_upload_bytes) as form:
        yield form


FormDep = Annotated[Form, Depends(receive_form)]


class DrainRequestBody:
    """Lets a client read a refusal that comes before its upload has ended, as ASGI middleware.

    A server that answers early and closes has unread bytes in its socket; closing then resets the connection, and the
    reset overtakes the answer. So this answers, reads on for a moment, and only then ends. It does nothing where the
    body was read, or there is none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self.app(scope, receive, send)
            return
        complete = False

        async def watched() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drain() -> None:
            left = LINGER_BYTES
            while not complete and left > 0:
                left -= len((await watched()).get("body", b""))

        async def send_and_drain(message: Message) -> None:
            if complete or message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            with anyio.move_on_after(LINGER_S):
                await drain()
            await send({"type": "http.response.body", "body": b""})

        await self.app(scope, watched, send_and_drain)
