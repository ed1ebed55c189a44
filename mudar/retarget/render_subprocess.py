"""Renders large pictures in a process of its own.

Its memory is the system's again when it ends, a decoder that crashes takes no worker with it, and whoever cancels need
not wait for a thread to listen.

The process gets its task as JSON on its input. It answers in lines: `p SHARE` for progress, `e JSON` or `o ERRNO`
for an error, or `r JSON` followed by the arrays of the result as npz until the end. `python -m
mudar.retarget.render_subprocess`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mudar.atomic_write import remove_unfinished
from mudar.errors import MudarError, UnreadableMedia, from_code
from mudar.media.render.render import Renderer, RenderResult, RenderSettings
from mudar.progress import Progress
from mudar.retarget.report.impact_detector import RenderObserver
from mudar.retarget.warp.time_map import TimeMap

ROOT = Path(__file__).resolve().parents[2]
LISTEN_S = 0.25  # between two checks whether somebody wants it stopped
LARGE_PIXELS = 1_000_000  # up to here starting a process costs more than it saves
ARRAYS = ("shown_s", "interpolated", "duplicate")


@dataclass(frozen=True)
class RenderTask:
    """Describes one rendering: what `Renderer.render` is given, as plain values."""

    dance: str
    music: str
    out: str
    settings: RenderSettings
    time_map: TimeMap
    offset_s: float
    duration_s: float
    verify: bool

    def to_json(self) -> str:
        """Converts to JSON for the process."""
        nodes = {name: array.tolist() for name, array in vars(self.time_map).items()}
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps(plain | {"settings": dataclasses.asdict(self.settings), "time_map": nodes})

    @classmethod
    def from_json(cls, text: str) -> RenderTask:
        """Parses what `to_json` gives."""
        plain: dict[str, Any] = json.loads(text)
        nodes = {name: np.array(values) for name, values in plain["time_map"].items()}
        made = {"settings": RenderSettings(**plain["settings"]), "time_map": TimeMap(**nodes)}
        return cls(**{**plain, **made})


def render_in_subprocess(task: RenderTask, progress: Progress) -> tuple[RenderResult, RenderObserver | None]:
    """Renders as `Renderer.render` does, with its errors; UnreadableMedia when the process crashed.

    Leaves a complete file or none.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "mudar.retarget.render_subprocess"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    try:
        with child.stdin as stdin:
            stdin.write(task.to_json().encode())
        answer, arrays = _read_answer(child, progress)
        status = child.wait()
        if answer is None or status:
            raise UnreadableMedia(f"The rendering of {Path(task.dance).name} broke off (it ended with {status}).")
        return _result(answer, arrays)
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
        remove_unfinished(task.out)


def _read_answer(child: subprocess.Popen[bytes], progress: Progress) -> tuple[dict[str, Any] | None, bytes]:
    """Returns what it answered and the bytes after it; calls `progress` several times a second."""
    share, rest = 0.0, b""
    answer: dict[str, Any] | None = None
    for piece in _chunks(child):
        rest += piece
        while answer is None and b"\n" in rest:
            line, rest = rest.split(b"\n", 1)
            kind, _, text = line.decode().partition(" ")
            if kind == "p":
                share = float(text)
            elif kind == "r":
                answer = json.loads(text)
            else:
                raise _error(kind, text)
        progress(share, "render")
    return answer, rest


def _chunks(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yields what the process writes, as it comes; nothing every quarter of a second."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not ready.select(LISTEN_S):
                yield b""
                continue
            piece = os.read(child.stdout.fileno(), 1 << 16)
            if not piece:
                return
            yield piece


def _error(kind: str, text: str) -> Exception:
    if kind == "o":
        return OSError(int(text), os.strerror(int(text)))
    error = json.loads(text)
    return from_code(error["code"], error["detail"], error["hint"])


def _result(answer: dict[str, Any], arrays: bytes) -> tuple[RenderResult, RenderObserver | None]:
    with np.load(io.BytesIO(arrays)) as archive:
        arrays_of_frames = {name: archive[name] for name in ARRAYS}
        observed = {name: archive[name] for name in archive.files if name not in ARRAYS}
    rendered = RenderResult(**{**answer["rendered"], **arrays_of_frames, "notes": tuple(answer["rendered"]["notes"])})
    return rendered, RenderObserver.restored(observed) if answer["verified"] else None


def main() -> int:
    """Runs in the process: reads one task from the input and writes its answer to the output."""
    cv2.setNumThreads(1)
    out = sys.stdout.buffer

    def tell(line: str) -> None:
        out.write(line.encode() + b"\n")
        out.flush()  # a parent that is gone breaks the pipe here, and that ends the work

    task = RenderTask.from_json(sys.stdin.read())
    observer = RenderObserver() if task.verify else None
    try:
        rendered = Renderer(task.dance, task.music, task.settings).render(
            task.out,
            task.time_map.source_s,
            offset_s=task.offset_s,
            duration_s=task.duration_s,
            observer=observer,
            progress=lambda share, _: tell(f"p {share:.6f}"),
        )
    except MudarError as error:
        tell("e " + json.dumps({"code": error.code, "detail": error.detail, "hint": error.hint}))
        return 0
    except BrokenPipeError:
        os._exit(1)  # nobody listens, and Python would complain of it at its end
    except OSError as error:
        if error.errno is None:
            raise
        tell(f"o {error.errno}")
        return 0
    plain = {f.name: getattr(rendered, f.name) for f in dataclasses.fields(rendered) if f.name not in ARRAYS}
    tell("r " + json.dumps({"rendered": plain, "verified": observer is not None}))
    arrays: dict[str, Any] = {name: getattr(rendered, name) for name in ARRAYS}
    packed = io.BytesIO()
    np.savez(packed, **arrays | (observer.arrays() if observer is not None else {}))
    out.write(packed.getbuffer())
    out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
