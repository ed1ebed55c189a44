"""Sockets that API processes answer on. Knows no settings."""

from __future__ import annotations

import socket
import sys


def bind(address: tuple[str | int, ...], *, shared: bool = False) -> socket.socket:
    """A socket bound to (host, port, ...). OSError when the port is taken. shared: others may bind it as well."""
    family = socket.AF_INET6 if ":" in str(address[0]) else socket.AF_INET
    # The protocol is named, or asyncio leaves Nagle's algorithm on: every answer would then wait 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    for option in (socket.SO_REUSEADDR, *([socket.SO_REUSEPORT] if shared else [])):
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def own(given: socket.socket) -> socket.socket:
    """A socket of this process's own on the same port, if the port may be shared; else the given one."""
    if sys.platform != "linux" or not given.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return given
    bound = bind(given.getsockname(), shared=True)
    given.close()
    return bound
