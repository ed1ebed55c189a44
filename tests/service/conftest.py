"""The real application behind a real uvicorn with the session's Redis (`api`, no worker), and a whole `mudar up`
(`up`), both with a small network of random weights: what it says means nothing, how it is said is what these test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import uvicorn

from service.app import create_app
from service.cli.up.supervisor import KEEP_ALIVE_S, free_port, listen
from service.container import Container
from service.settings import Settings
from tests.waiting import PATIENCE_S, wait_until

SHORT = {
    "MUDAR_ENABLE_NOOP": "1",
    "MUDAR_LEASE_S": "2",
    "MUDAR_HEARTBEAT_S": "0.3",
    "MUDAR_SWEEP_S": "0.3",
    "MUDAR_PROGRESS_S": "0.1",
}


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shelf with one checkpoint, mudar-small@0.0.0, of random weights."""
    from model_store.loader import save_checkpoint
    from mudar.model.checkpoint import Card
    from mudar.model.config import small
    from mudar.model.mudar import build
    from mudar.spec import FeatureSpec

    root = tmp_path_factory.mktemp("models")
    model = build(small(), FeatureSpec(), seed=0)
    save_checkpoint(root, model, Card("mudar-small", "0.0.0", model.spec, model.config, lambda_default=0.4))
    return root


@dataclass(frozen=True)
class Api:
    """A running API: a client that talks to it, the parts it is made of."""

    http: httpx.Client
    container: Container


@contextmanager
def running(settings: Settings) -> Iterator[Api]:
    """The application on a free port."""
    app = create_app(settings)
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=KEEP_ALIVE_S))
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=PATIENCE_S) as http:
            yield Api(http, app.state.container)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        bound.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, redis_url: str, model_root: Path) -> Settings:
    """Small caps, so that a test can go over them, and noop jobs."""
    return Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("api"),
        redis_url=redis_url,
        model_root=model_root,
        max_upload_mb=2,
        max_duration_s=60,
        enable_noop=True,
        keepalive_s=0.3,
        sweep_s=0.5,
    )


@pytest.fixture(scope="session")
def api(settings: Settings) -> Iterator[Api]:
    """One API for the session."""
    with running(settings) as it:
        yield it


def clip(
    path: Path,
    *,
    seconds: float = 2.0,
    picture: bool = True,
    sound: bool = True,
    moving: bool = True,
    loud: bool = True,
    size: tuple[int, int] = (96, 64),
) -> Path:
    """A small video of a square that jumps twice a second, with a click at each jump; either part may be missing."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=15) if picture else None
        audio = out.add_stream("aac", rate=22_050) if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            for number in range(int(seconds * 15)):
                image = np.zeros((size[1], size[0], 3), np.uint8)
                left = 10 + (number // 7 % 4) * 18 * moving
                image[20:44, left : left + 16] = 255
                out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(video.encode())
        if audio is not None:
            times = np.arange(int(seconds * 22_050)) / 22_050
            samples = loud * np.sin(2 * np.pi * 440 * times) * np.exp(-30 * (times % (7 / 15)))
            frame = av.AudioFrame.from_ndarray((samples[None] * 20_000).astype(np.int16), layout="mono")
            frame.sample_rate = 22_050
            out.mux(audio.encode(frame))
            out.mux(audio.encode())
    return path


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`clip`, for tests (a folder's conftest cannot be imported)."""
    return clip


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Good and bad files by name."""
    folder = tmp_path_factory.mktemp("files")
    dance = clip(folder / "dance.mp4").read_bytes()
    return {
        "dance": dance,
        "truncated": dance[: len(dance) // 2],
        "mute": clip(folder / "mute.mp4", sound=False).read_bytes(),
        "song": clip(folder / "song.m4a", picture=False).read_bytes(),
        "short": clip(folder / "short.mp4", seconds=0.2).read_bytes(),
        "long": clip(folder / "long.m4a", seconds=61, picture=False).read_bytes(),
        "empty": b"",
        "text": b"This is not a video at all, whatever its name says.\n" * 40,
        "large": bytes(1_900_000),
    }


@pytest.fixture
def body() -> Callable[[int], Iterator[bytes]]:
    """A multipart body that never tells its size: `n` megabytes in a file."""

    def chunks(megabytes: int) -> Iterator[bytes]:
        yield b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        for _ in range(megabytes):
            yield bytes(1_000_000)
        yield b"\r\n--xx--\r\n"

    return chunks


@pytest.fixture(scope="session")
def run_api() -> Callable[[Settings], AbstractContextManager[Api]]:
    """Starts an API of a test's own."""
    return running


def table() -> dict[int, tuple[int, str]]:
    """Every process but zombies: its parent and its command line."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if fields[0] != "Z":
            processes[int(folder.name)] = (int(fields[1]), line)
    return processes


@dataclass
class Up:
    """A `mudar up` of ours, its processes, and a client that talks to it."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    @staticmethod
    def alive(pid: int) -> bool:
        """Whether it runs."""
        return pid in table()

    @staticmethod
    def parent_of(pid: int) -> int:
        """Its parent's process id."""
        return table()[pid][0]

    def below(self, pid: int | None = None) -> dict[int, str]:
        """Everything that descends from it: command lines by process id."""
        everything, below, todo = table(), dict[int, str](), [pid or self.process.pid]
        while todo:
            parent = todo.pop()
            children = {child: line for child, (of, line) in everything.items() if of == parent}
            below |= children
            todo += children
        return below

    def running(self, part: str) -> list[int]:
        """The processes below it whose command line holds `part`."""
        return [pid for pid, line in self.below().items() if part in line]

    def noop(self, sleep_s: float) -> str:
        """A job that sleeps."""
        return str(self.http.post("/jobs/noop", params={"sleep_s": sleep_s}).json()["job_id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it ended."""
        while True:
            job = dict(self.http.get(f"/jobs/{job_id}", params={"wait": 60}).json())
            if job["state"] in ("done", "failed", "cancelled"):
                return job

    def worker_process(self, job_id: str) -> int:
        """The process that runs the job: the child of the worker."""
        wait_until(lambda: self.http.get(f"/jobs/{job_id}").json()["state"] == "running")
        (parent,) = [pid for pid in self.running("workers.app") if self.process.pid == self.parent_of(pid)]
        (child,) = self.below(parent)
        return child


def answers(http: httpx.Client) -> bool:
    """Whether everything is there."""
    try:
        return http.get("/health/ready").is_success
    except httpx.TransportError:
        return False


@contextmanager
def started(folder: Path, model_root: Path) -> Iterator[Up]:
    """`mudar up` as a user starts it, ready to work, with short leases."""
    port = free_port()
    environment = {
        "MUDAR_DATA_DIR": str(folder),
        "MUDAR_ENABLE_NOOP": "1",
        "MUDAR_MODEL_ROOT": str(model_root),
        **SHORT,
    }
    command = [sys.executable, "-m", "service.cli.main", "up", "--port", str(port)]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http:
            wait_until(lambda: process.poll() is not None or answers(http))
            assert process.poll() is None, (folder.parent / f"{folder.name}.log").read_text()
            yield Up(process, http)
    finally:
        below = Up(process, httpx.Client()).below()
        process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE_S)
    # Every `up` of these tests is also a test that SIGTERM ends all of it, whatever was killed before.
    assert status in (0, -signal.SIGKILL)
    wait_until(lambda: not below.keys() & table().keys())


@pytest.fixture(scope="session")
def start_up(model_root: Path) -> Callable[[Path], AbstractContextManager[Up]]:
    """Starts a `mudar up` of a test's own in a folder."""
    return lambda folder: started(folder, model_root)


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, model_root: Path) -> Iterator[Up]:
    """One `mudar up` for the session."""
    with started(tmp_path_factory.mktemp("up") / "data", model_root) as it:
        yield it
