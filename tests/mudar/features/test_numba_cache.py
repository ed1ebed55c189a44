"""librosa must start where nothing of its own can be written: read-only containers, users without a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = "from mudar.features.numba_cache import _folder; print(_folder())"
# librosa.core.notation holds a kernel that numba wants to keep, and is quick to import.
START = "import librosa.core.notation; from numba.core import config; print(config.CACHE_DIR)"
HELPED = "from mudar.features.numba_cache import ensure_cache; ensure_cache(); " + START
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3"'


def run(command: list[str], home: Path | str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    env = kept | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"} | more
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def run_read_only(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    """In a mount namespace of its own, where librosa's folder is read-only and /proc is the home."""
    import librosa

    package = str(Path(librosa.__file__).parent)
    inside = ["sh", "-c", READ_ONLY, "sh", package, sys.executable, code]
    return run(["unshare", "--map-root-user", "--mount", *inside], "/proc", **more)


def test_kernels_are_kept_in_the_home_if_there_is_one(tmp_path: Path) -> None:
    assert Path(run([sys.executable, "-c", FOLDER], tmp_path).stdout.strip()) == tmp_path / ".cache" / "mudar-numba"


def test_without_a_home_the_folder_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, in which nobody can make a folder")
    folder = Path(run([sys.executable, "-c", FOLDER], tmp_path / "home", TMPDIR=str(tmp_path)).stdout.strip())
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700


def test_librosa_starts_on_a_read_only_disk(tmp_path: Path) -> None:
    if not shutil.which("unshare") or run_read_only("pass").returncode != 0:
        pytest.skip("needs a mount namespace")
    alone = run_read_only(START)
    assert "no locator available" in alone.stderr  # the trouble is real, or this test would show nothing
    helped = run_read_only(HELPED, TMPDIR=str(tmp_path))
    assert helped.returncode == 0, helped.stderr
    assert Path(helped.stdout.strip()).parent == tmp_path
    told = run_read_only(HELPED, NUMBA_CACHE_DIR=str(tmp_path / "told"))
    assert told.stdout.strip() == str(tmp_path / "told"), told.stderr
