"""Writes a file as a whole or not at all: under another name beside it, flushed to the disk, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives an empty file beside `path` to write to; it takes the place of `path` when the block ends well.

    It is removed when the block raises; the file that was there before then stays. OSError, such as a full disk.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_prefix(target), suffix=".part", dir=target.parent)
    os.close(descriptor)
    unfinished = Path(name)
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes these bytes to `path`, all of them or none."""
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(content)


def remove_unfinished(path: str | Path) -> None:
    """Removes what writers of `path` that were killed left beside it; only while none of them is at work."""
    target = Path(path)
    for name in os.listdir(target.parent):
        if name.startswith(_prefix(target)):
            (target.parent / name).unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}-"
