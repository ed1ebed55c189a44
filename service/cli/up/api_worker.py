"""Runs one more API process beside that of `mudar up`, on the socket that it was given.

`python -m service.cli.up.api_worker FD`. All answer the same port. On Linux each binds it anew, and the kernel deals
connections out; of one socket that they share, the process that is awake takes most. Each follows the library with an
index of its own, as any replica does.
"""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn

from service.app import create_app
from service.cli.up.sockets import own
from service.settings import Settings


def config(settings: Settings, keep_alive_s: int) -> uvicorn.Config:
    """How every API process of `mudar up` serves."""
    return uvicorn.Config(
        create_app(settings), log_level="warning", timeout_keep_alive=keep_alive_s, timeout_graceful_shutdown=3
    )


def main() -> None:
    """Serves the API on an inherited socket until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    number, keep_alive_s = int(sys.argv[1]), int(sys.argv[2])
    uvicorn.Server(config(Settings(), keep_alive_s)).run([own(socket.socket(fileno=number))])


if __name__ == "__main__":
    main()
