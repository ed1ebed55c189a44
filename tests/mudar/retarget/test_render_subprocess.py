"""A rendering in a process of its own: the same file and figures as in this one, the same errors, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.errors import Cancelled, MediaTooShort, UnreadableMedia
from mudar.media.render.render import Renderer, RenderSettings
from mudar.progress import Progress, ignore
from mudar.retarget.render_subprocess import ROOT, RenderTask, render_in_subprocess
from mudar.retarget.report.impact_detector import RenderObserver
from mudar.retarget.warp.time_map import TimeMap
from tests.waiting import wait_until
from training.data.synthetic.clip import write_clip, write_song

pytestmark = pytest.mark.slow

MAP = TimeMap(np.array([0.0, 1.0, 2.2]), np.array([0.1, 1.2, 2.2]), np.array([1.1, 0.95, 0.9]))
FINE = 1  # at the usual quality, x264 codes the same frames up to .9 grey levels apart from one run to the next


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("apart")
    write_clip(folder / "dance.mp4", seed=3, duration_s=3.0, width=192, height=108)
    write_song(folder / "song.wav", seed=4, duration_s=6.0)
    return folder / "dance.mp4", folder / "song.wav"


def task(media: tuple[Path, Path], out: Path, duration_s: float = 2.0, **settings: object) -> RenderTask:
    return RenderTask(*map(str, media), str(out), RenderSettings("flow", **settings), MAP, 1.0, duration_s, verify=True)


def children() -> list[int]:
    """Processes of this one (Linux)."""
    return [int(p) for at in Path("/proc/self/task").glob("*/children") for p in at.read_text().split()]


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray() for f in container.decode(video=0)]).astype(int)


def test_the_same_as_in_this_process(media, tmp_path) -> None:
    shares: list[float] = []
    there, observed = render_in_subprocess(
        task(media, tmp_path / "a.mp4", crf=FINE), lambda share, _: shares.append(share)
    )
    observer = RenderObserver()
    here = Renderer(*media, RenderSettings("flow", crf=FINE)).render(
        tmp_path / "b.mp4", MAP.source_s, offset_s=1.0, duration_s=2.0, observer=observer
    )
    for name in ("shown_s", "interpolated", "duplicate"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
    assert (there.fps, there.width, there.notes, there.encoder) == (here.fps, here.width, here.notes, here.encoder)
    assert np.abs(pictures(tmp_path / "a.mp4") - pictures(tmp_path / "b.mp4")).mean() < 0.5
    assert observed is not None
    np.testing.assert_allclose(observed.after.impacts().times_s, observer.after.impacts().times_s)
    assert observed.before.jerk() == pytest.approx(observer.before.jerk())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_its_errors_are_ours(media, tmp_path) -> None:
    with pytest.raises(MediaTooShort):
        render_in_subprocess(task(media, tmp_path / "a.mp4", duration_s=0.01), ignore)
    with pytest.raises(NotADirectoryError):
        render_in_subprocess(task(media, media[0] / "a.mp4"), ignore)
    assert not list(tmp_path.iterdir())


def stop_at(share: float, deed: Progress) -> Progress:
    return lambda done, stage: deed(done, stage) if done >= share else None


def test_cancelling_ends_the_process_and_leaves_nothing(media, tmp_path) -> None:
    before = set(children())

    def cancel(share: float, stage: str) -> None:
        assert len(set(children()) - before) == 1
        raise Cancelled

    with pytest.raises(Cancelled):
        render_in_subprocess(task(media, tmp_path / "a.mp4"), stop_at(0.3, cancel))
    assert not list(tmp_path.iterdir())
    assert set(children()) <= before


def test_a_crash_is_an_error_of_the_file_and_leaves_nothing(media, tmp_path) -> None:
    before = set(children())

    def kill(share: float, stage: str) -> None:
        for child in set(children()) - before:
            os.kill(child, signal.SIGSEGV)

    with pytest.raises(UnreadableMedia, match="broke off"):
        render_in_subprocess(task(media, tmp_path / "a.mp4"), stop_at(0.2, kill))
    assert not list(tmp_path.iterdir())


PARENT = """
import os, sys
from mudar.retarget.render_subprocess import ROOT, RenderTask, render_in_subprocess
task = RenderTask.from_json(sys.stdin.read())
render_in_subprocess(task, lambda share, _: os.kill(os.getpid(), 9) if share > 0.1 else None)
"""


def test_a_process_whose_parent_is_killed_stops_and_cleans_up(media, tmp_path) -> None:
    slow = task(media, tmp_path / "a.mp4", preset="veryslow")
    parent = subprocess.run([sys.executable, "-c", PARENT], input=slow.to_json().encode(), cwd=ROOT, check=False)
    assert parent.returncode == -signal.SIGKILL
    wait_until(lambda: [path.name for path in tmp_path.iterdir()] in ([], ["a.mp4"]))  # stopped, or just before its end
