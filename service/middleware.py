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
    """Reads on after an early answer, as ASGI middleware; does nothing where the body was read, or there is none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
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


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
