"""The real application behind a real uvicorn, with the session's Redis; no worker unless a test starts one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import uvicorn

from service.app import create_app
from service.deps import House
from service.embedded import listen
from service.settings import Settings


@dataclass(frozen=True)
class Api:
    """A running API: a client that talks to it, the parts it is made of."""

    http: httpx.Client
    house: House


@contextmanager
def running(settings: Settings) -> Iterator[Api]:
    """The application on a free port."""
    app = create_app(settings)
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=30) as http:
            yield Api(http, app.state.house)
    finally:
        server.should_exit = True
        thread.join(20)
        bound.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Settings:
    """Small caps, so that a test can go over them, and noop jobs."""
    return Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("api"),
        redis_url=redis_url,
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
    path: Path, *, seconds: float = 2.0, picture: bool = True, sound: bool = True, size: tuple[int, int] = (96, 64)
) -> Path:
    """A small video of a square that jumps twice a second, with a click at each jump; either part may be missing."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=15) if picture else None
        audio = out.add_stream("aac", rate=22_050) if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            for number in range(int(seconds * 15)):
                image = np.zeros((size[1], size[0], 3), np.uint8)
                left = 10 + (number // 7 % 4) * 18
                image[20:44, left : left + 16] = 255
                out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(video.encode())
        if audio is not None:
            times = np.arange(int(seconds * 22_050)) / 22_050
            samples = np.sin(2 * np.pi * 440 * times) * np.exp(-30 * (times % (7 / 15)))
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
