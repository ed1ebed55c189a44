"""Probes a file before anything is done with it: its streams, sizes, rates and length, or why it is refused.

`probe` runs in this process, `probe_in_child` in one that can be killed and may not take much memory: hostile files
meet FFmpeg there. `python -m mudar.media.probe.probe FILE [LIMITS_JSON]` prints one JSON object. Imports no numpy, no
torch.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mudar.errors import (
    EmptyFile,
    MediaError,
    MediaTooLong,
    MediaTooShort,
    MudarError,
    PictureTooLarge,
    ProbeFailed,
    ProbeTimeout,
    StillVideo,
    TruncatedMedia,
    UnreadableMedia,
    from_code,
)
from mudar.media.probe.models import MediaInfo, ProbeLimits
from mudar.media.probe.sniff import Header, read_header
from mudar.media.probe.streams import probe_streams

log = logging.getLogger(__name__)

CHILD_MEMORY_BYTES = 3 << 30  # address space, of which Python and FFmpeg's libraries take a third of a GiB
ROOT = Path(__file__).resolve().parents[3]
DEFAULT_LIMITS = ProbeLimits()


def probe(path: str | Path, limits: ProbeLimits = DEFAULT_LIMITS) -> MediaInfo:
    """Describes the file `path`. Raises the leaf of MediaError that says why it is refused."""
    name = Path(path).name
    header = _checked_header(path, limits, name)
    try:
        info = probe_streams(path, limits)
    except UnreadableMedia as error:
        if header.missing_bytes:
            raise TruncatedMedia(f"{name} ends {header.missing_bytes:,} bytes before it should.") from error
        raise
    _check_length(info, header, limits, name)
    return info


def _checked_header(path: str | Path, limits: ProbeLimits, name: str) -> Header:
    try:
        if not Path(path).stat().st_size:
            raise EmptyFile(f"{name} has no bytes.")
        header = read_header(path)
    except OSError as error:
        raise UnreadableMedia(f"{name} cannot be read ({error.strerror}).") from error
    if header.width * header.height > limits.max_pixels:
        raise PictureTooLarge(f"{name} says its picture is {header.width}x{header.height}.")
    if header.still:
        raise UnreadableMedia(f"{name} is a still picture ({header.still}), neither a video nor music.")
    if not header.has_index:
        raise TruncatedMedia(f"{name} has no index (moov box): it was cut off, or its recording never finished.")
    return header


def _check_length(info: MediaInfo, header: Header, limits: ProbeLimits, name: str) -> None:
    share_missing = header.missing_bytes / (header.missing_bytes + Path(info.path).stat().st_size)
    if share_missing > 0.05 or share_missing * info.duration_s > 0.5:
        raise TruncatedMedia(f"{name} ends {header.missing_bytes:,} bytes before its header says.")
    if info.duration_s > limits.max_duration_s:
        raise MediaTooLong(f"{name} lasts {info.duration_s:.0f} s; the limit is {limits.max_duration_s:.0f} s.")
    if info.video is not None and info.video.frames == 1 and info.audio is None:
        raise StillVideo(f"{name} is a single picture.")
    if info.duration_s < limits.min_duration_s:
        raise MediaTooShort(f"{name} lasts {info.duration_s:.2f} s; at least {limits.min_duration_s:g} s are needed.")


def probe_in_child(path: str | Path, limits: ProbeLimits = DEFAULT_LIMITS, timeout_s: float = 15.0) -> MediaInfo:
    """Runs `probe` in a process of its own, with limited memory and at most `timeout_s` of processor time.

    UnreadableMedia for a file that needs more. ProbeTimeout where a busy machine did not give it that much in twice the
    time; ProbeFailed, logged with its trace, for whatever else the process ends with: neither is the file's fault.
    """
    name = Path(path).name
    command = [sys.executable, "-m", "mudar.media.probe.probe", str(Path(path).absolute())]
    command.append(json.dumps({**dataclasses.asdict(limits), "cpu_s": timeout_s}))
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=2 * timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ProbeTimeout(f"Looking into {name} took more than {2 * timeout_s:g} s.") from error
    if done.returncode == -signal.SIGXCPU:
        raise UnreadableMedia(f"Looking into {name} took more than {timeout_s:g} s of computing.")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        log.error("the probe of %s ended with %d:\n%s", name, done.returncode, done.stderr.decode(errors="replace"))
        raise ProbeFailed(f"{name} could not be looked into (the reader ended with {done.returncode}).") from error
    if "code" in answer:
        raise from_code(answer["code"], answer["detail"], answer["hint"])
    return MediaInfo.from_dict(answer)


def _limit_this_process(cpu_s: float) -> None:
    """Allows no more memory and time than a header needs, and no core file."""
    seconds = math.ceil(cpu_s)
    for kind, most in (
        (resource.RLIMIT_AS, CHILD_MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, hard))


def main(arguments: list[str]) -> int:
    """Prints the MediaInfo of a file, or its error, as JSON. Returns 0, or 1 for an error."""
    options = json.loads(arguments[1]) if len(arguments) > 1 else {}
    _limit_this_process(options.pop("cpu_s", 600.0))
    try:
        answer, status = probe(arguments[0], ProbeLimits(**options)).to_dict(), 0
    except MemoryError:
        error: MudarError = UnreadableMedia(f"{Path(arguments[0]).name} needs too much memory to be opened.")
        answer, status = _error_dict(error), 1
    except MediaError as error:
        answer, status = _error_dict(error), 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


def _error_dict(error: MudarError) -> dict[str, Any]:
    return {"code": error.code, "detail": error.detail, "hint": error.hint}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
