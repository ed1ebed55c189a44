"""A file is written as a whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mudar.atomic_write import atomic_path, remove_unfinished, write_atomically

ROOT = Path(__file__).parents[2]


def test_a_torn_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.bin"
    write_atomically(path, b"old")
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert not list(path.parent.glob("*.bin"))[1:]  # nobody who lists such files meets a half one
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_a_killed_writer_left_can_be_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / ".file2-1.part"
    other.touch()
    block = f"with atomic_path({str(path)!r}): print(1, flush=True); time.sleep(600)"
    script = f"import time; from mudar.atomic_write import *\n{block}"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.iterdir())) == 2
    remove_unfinished(path)
    assert list(tmp_path.iterdir()) == [other]
