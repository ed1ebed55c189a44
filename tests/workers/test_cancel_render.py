"""A long rendering of 1080p through the worker's own step: cancelled in the middle, it stops and leaves nothing."""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mudar.library import items, jobs
from mudar.library.blobs import BlobStore
from mudar.library.db import Database
from mudar.records import Rhythm
from mudar.retarget.settings import RetargetSettings
from workers import handlers
from workers.context import StepContext
from workers.executor import run
from workers.handlers.retarget import render
from workers.runtime import Runtime, connect
from workers.settings import Settings

SECONDS = 40
WAIT_S = 60.0


@pytest.fixture
def runtime(redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    chosen = Settings(_env_file=None, data_dir=tmp_path, redis_url=redis_url, heartbeat_s=0.2, progress_s=0.1)
    database, client = Database(f"sqlite:///{tmp_path / 'm.db'}", durable=False), connect(redis_url)
    database.migrate()
    yield Runtime(chosen, database, BlobStore(tmp_path / "blobs"), client)
    database.close()
    client.close()


def write_1080p(path: Path) -> Path:
    """40 s: one second drawn, its packets repeated."""
    part = path.with_name("second.mp4")
    with av.open(str(part), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "bf": "0", "crf": "35"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        ramp = np.tile(128 + 90 * np.sin(np.arange(1920) / 80), (1620, 1)).astype(np.uint8)
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.roll(ramp, 12 * number, axis=1), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with av.open(str(path), "w") as out:
        target, shift = None, 0
        for _ in range(SECONDS):
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                target = target or out.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is not None:
                        packet.stream, packet.pts, packet.dts = target, packet.pts + shift, packet.dts + shift
                        out.mux(packet)
                shift += video.duration
    part.unlink()
    return path


def write_hum(path: Path) -> None:
    """As long, of one note."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(44_100)
        out.writeframes((9_000 * np.sin(np.arange(SECONDS * 44_100) * 0.03)).astype(np.int16).tobytes())


def stored(runtime: Runtime, path: Path, kind: Any, duration_s: float) -> str:
    blob = runtime.blobs.adopt(path)
    with runtime.database.begin() as session:
        return str(items.create_item(session, items.NewItem(blob.sha256, kind, info={"duration_s": duration_s}))["id"])


def beats(every_s: float) -> Rhythm:
    at = np.arange(0.4, SECONDS - 1, every_s, dtype=np.float32)
    return Rhythm(at, np.ones(len(at), np.float32), np.zeros(0, np.float32), 15.0, 60 / every_s, (), at)


def test_cancelled_in_the_middle(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, song = write_1080p(tmp_path / "long.mp4"), tmp_path / "song.wav"
    write_hum(song)
    pair = stored(runtime, clip, "dance", SECONDS), stored(runtime, song, "music", SECONDS)

    def renders(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
        wish = RetargetSettings(interpolation="flow", verify=False)
        return render(context, pair, (beats(0.55), beats(0.5)), wish, context.progress)

    monkeypatch.setitem(handlers.HANDLERS, "noop", renders)
    with runtime.database.begin() as session:
        job_id = str(jobs.create_job(session, jobs.JobSpec("noop", {}, pair))["id"])
    working = threading.Thread(target=run, args=(runtime, job_id), daemon=True)
    working.start()

    def read_job() -> dict[str, Any]:
        with runtime.database.read() as session:
            return dict(jobs.get_job(session, job_id))

    ends = time.monotonic() + WAIT_S
    while read_job()["progress"] < 0.03 and time.monotonic() < ends:  # 0.02 is where the frames begin
        time.sleep(0.05)
    assert (read_job()["state"], read_job()["stage"]) == ("running", "render")
    assert list(runtime.blobs.temporary.iterdir())
    with runtime.database.begin() as session:
        jobs.cancel(session, job_id)
    cancelled_at = time.monotonic()
    working.join(WAIT_S)
    print(f"stopped {time.monotonic() - cancelled_at:.2f} s after it was asked to")  # noqa: T201 (for whoever measures)
    assert not working.is_alive()
    ended = read_job()
    assert ended["state"] == "cancelled"
    assert ended["progress"] < 0.5
    assert not list(runtime.blobs.temporary.iterdir())
    assert not [p for at in Path("/proc/self/task").glob("*/children") for p in at.read_text().split() if _renders(p)]


def _renders(pid: str) -> bool:
    try:
        return b"mudar.retarget.render_subprocess" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
