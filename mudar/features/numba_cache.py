"""Where librosa's compiled kernels are kept. Knows no sound: it has to run before librosa's first use.

librosa compiles parts of itself by numba and keeps the result beside its own files or in the user's home. Where
neither can be written, in a read-only container or under a strange user id, numba refuses to import librosa at all.
Compiling takes 25 s of a core, once for each cache: name a lasting folder by NUMBA_CACHE_DIR where there is one.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import librosa  # a stub of 6 ms; its parts, and numba, are imported when they are first used


def ensure_cache() -> None:
    """Gives numba a folder for its cache, unless librosa's own folders or one set by the user (NUMBA_CACHE_DIR) do."""
    package = Path(librosa.__file__).parent
    if all(os.access(folder, os.W_OK) for folder in (package, *package.glob("**/__pycache__"))):
        return
    from numba.core import config

    if not config.CACHE_DIR:  # type: ignore[attr-defined]
        config.CACHE_DIR = str(_folder())  # type: ignore[attr-defined]


def _folder() -> Path:
    """The user's cache, so that kernels are compiled once; else a private temporary folder."""
    try:
        kept = Path.home() / ".cache" / "mudar-numba"
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=kept):
            return kept
    except (OSError, RuntimeError):  # RuntimeError: a user id without a home
        return Path(tempfile.mkdtemp(prefix="mudar-numba-"))  # not a known name: others could have put code there
