"""Reads the settings of a worker, which are those of the library and the ones below."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from pydantic import Field

from mudar.library.settings import LibrarySettings


class Settings(LibrarySettings):
    """One value per MUDAR_* variable; times in seconds, sizes in what the name says."""

    device: Literal["cpu", "cuda"] = "cpu"
    torch_threads: int = Field(default=1, ge=1)  # one thread a process beats two when the machine is busy

    heartbeat_s: float = Field(default=3, gt=0)
    progress_s: float = Field(default=0.5, gt=0)  # progress is written down at most this often
    worker_memory_mb: int = Field(default=4096, gt=0)  # a process above this is replaced after its job
    worker_start_s: float = Field(default=180, gt=0)  # loading torch and the model may take this long


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, parsed at first use."""
    return Settings()
