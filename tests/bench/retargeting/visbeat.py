"""Renders the same pairs with visbeat3's Dancefer, the peer of this benchmark.

visbeat3 wants old packages, so it lives in an environment of its own, whose Python runs this file as a script:

    python -m venv v && v/bin/pip install 'visbeat3==1.0.1' 'matplotlib<3.9' imageio-ffmpeg
    python -m tests.bench.retargeting --visbeat v/bin/python

It warps beats that it finds in the clip's own sound onto beats that it finds in the song, quadratically, at 240 lines.
The beats it is judged by are those that our tracker finds in its output.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT_S = 600


class VisbeatFailed(Exception):
    """visbeat3 made no file; the message is its last line."""


def render_with_visbeat(python: Path, clip: Path, song: Path, out: Path) -> float:
    """Renders `out` and returns the processor seconds that it took. Raises VisbeatFailed when it makes nothing."""
    began = os.times()
    with tempfile.TemporaryDirectory() as work:
        command = [str(python), "-I", "-W", "ignore", str(Path(__file__).resolve()), *map(str, (clip, song, out)), work]
        paths = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_S, env=os.environ | {"PATH": paths}
            )
        except subprocess.TimeoutExpired as late:
            raise VisbeatFailed(f"not done after {TIMEOUT_S} s") from late
    ended = os.times()
    if process.returncode or not out.exists():
        raise VisbeatFailed((process.stderr.strip().splitlines() or ["nothing"])[-1])
    return ended.children_user + ended.children_system - began.children_user - began.children_system


def _make(clip: str, song: str, out: str, work: str) -> None:
    """Runs Dancefer in visbeat3's own environment."""
    import matplotlib
    import numpy
    import scipy.signal

    matplotlib.use("Agg")
    for name, kind in (("int", int), ("float", float), ("bool", bool), ("object", object), ("complex", complex)):
        if name not in vars(numpy):
            setattr(numpy, name, kind)  # gone since numpy 1.24
    for name in ("hann", "hamming", "gaussian"):
        if not hasattr(scipy.signal, name):
            setattr(scipy.signal, name, getattr(scipy.signal.windows, name))  # moved in scipy 1.13
    import visbeat3
    from visbeat3.Audio import Audio

    visbeat3.SetAssetsDir(work + os.sep)
    video = visbeat3.PullVideo(source_location=clip)
    visbeat3.Dancefer(source_video=video, target=Audio(path=song), output_path=out, force_recompute=True)


if __name__ == "__main__":
    _make(*sys.argv[1:])
