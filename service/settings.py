"""Reads the settings of the API and the command line, which are those of the library and the ones below."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from mudar.library.settings import LibrarySettings, renamed


class Settings(LibrarySettings):
    """One value per MUDAR_* variable; times in seconds, sizes in what the name says."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_processes: int = Field(default=1, ge=1, le=64)  # of `mudar up`; each holds an index of its own
    url: str = "http://127.0.0.1:8000"  # where the command line expects the service

    max_upload_mb: float = Field(default=2048, gt=0)
    max_duration_s: float = Field(default=3600, gt=0)
    max_pixels: int = Field(default=8192 * 8192, gt=0)
    probe_timeout_s: float = Field(default=15, gt=0)

    index_refresh_s: float = Field(default=0.25, gt=0)
    index_snapshot_s: float = Field(default=300, gt=0)
    index_device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")  # also keep exact indexes on this GPU
    index_exact_rows: int = Field(default=50_000, ge=0)  # above, search is approximate

    max_attempts: int = Field(default=3, ge=1)
    limit_per_media_s: float = Field(default=10, gt=0)  # a job may take this more for each second of its media
    sweep_s: float = Field(default=2, gt=0)
    requeue_after_s: float = renamed(10, "MUDAR_REQUEUE_AFTER_S", "MUDAR_LOST_AFTER_S")
    cleanup_interval_s: float = renamed(600, "MUDAR_CLEANUP_INTERVAL_S", "MUDAR_TIDY_S")
    job_retention_s: float = renamed(30 * 86400, "MUDAR_JOB_RETENTION_S", "MUDAR_KEEP_JOBS_S")
    keepalive_s: float = Field(default=15, gt=0)  # a comment on a quiet event stream
    enable_noop: bool = False  # POST /jobs/noop, for measuring what a request costs

    @property
    def index_dir(self) -> Path:
        """Where snapshots of the search index lie; may be deleted at any time."""
        return self.data_dir / "index"

    @property
    def max_upload_bytes(self) -> int:
        """The cap on one request's body."""
        return int(self.max_upload_mb * 1_000_000)

    def limit_s(self, media_s: float) -> float:
        """How long a job on this much media may take."""
        return self.base_limit_s + self.limit_per_media_s * media_s

    @property
    def longest_limit_s(self) -> float:
        """What a job on two files of the longest kind may take."""
        return self.limit_s(2 * self.max_duration_s)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, parsed at first use."""
    return Settings()


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, for a process that we start."""
    return {**os.environ, **changes}
