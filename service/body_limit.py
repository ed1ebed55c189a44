"""Caps every body that is no upload before anything parses it, as ASGI middleware."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mudar.errors import UploadTooLarge
from service.errors import problem, respond

MAX_BODY_BYTES = 256 * 1024


class LimitBody:
    """Reads a body of at most 256 KiB and hands it on whole; refuses a longer one with 413, unparsed.

    Multipart bodies of `upload_paths` pass as they are: these are cut off by their own cap while they stream.
    """

    def __init__(self, app: ASGIApp, upload_paths: Collection[str]) -> None:
        self.app, self.upload_paths = app, upload_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_upload(scope) or not has_body(scope):
            await self.app(scope, receive, send)
            return
        body = bytearray()
        message: Message = {"type": "http.request", "more_body": True}
        too_large = int(Headers(scope=scope).get("content-length", 0)) > MAX_BODY_BYTES
        while message.get("more_body", False) and not too_large:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            too_large = len(body) > MAX_BODY_BYTES
        if too_large:
            error = UploadTooLarge(
                f"A body that is no upload has at most {MAX_BODY_BYTES // 1024} KiB.", hint="Send less."
            )
            await respond(problem(error))(scope, receive, send)
            return
        read = False

        async def receive_read() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, receive_read, send)

    def _is_upload(self, scope: Scope) -> bool:
        kind = Headers(scope=scope).get("content-type", "")
        return kind.lower().startswith("multipart/") and scope["path"].rstrip("/") in self.upload_paths


def has_body(scope: Scope) -> bool:
    """Whether the request announces a body."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
