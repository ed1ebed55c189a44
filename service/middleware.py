"""Lets a client read a refusal that comes before its upload has ended.

A server that answers early and closes has unread bytes in its socket; closing then resets the connection, and the
reset overtakes the answer. So we answer, read on for a moment, and only then end.
"""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0
LINGER_BYTES = 64_000_000


class DrainRequestBody:
    """ASGI middleware; does nothing to a request whose body was read, or that has none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        whole = False

        async def watched() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def drain() -> None:
            left = LINGER_BYTES
            while not whole and left > 0:
                left -= len((await watched()).get("body", b""))

        async def held(message: Message) -> None:
            if whole or message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            with anyio.move_on_after(LINGER_S):
                await drain()
            await send({"type": "http.response.body", "body": b""})

        await self.app(scope, watched, held)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
