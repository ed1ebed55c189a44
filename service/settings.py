"""What the front door is told from outside: MUDAR_* variables, read once, then frozen. Light: no torch, no fastapi.

Every variable is listed in .env.example. The engine room reads its own (workers/settings.py); names that both read
mean the same thing. Nothing else in this package looks at the environment.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

SHIPPED_MODELS = Path(__file__).resolve().parent.parent / "model_store" / "checkpoints"


class Settings(BaseSettings):
    """One value per MUDAR_* variable; times in seconds, sizes in what the name says."""

    model_config = SettingsConfigDict(env_prefix="MUDAR_", env_file=".env", frozen=True, extra="ignore")

    data_dir: Path = Path("data")
    database_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_processes: int = Field(default=1, ge=1, le=64)  # of `mudar up`; each holds an index of its own
    url: str = "http://127.0.0.1:8000"  # where the command line looks for the service

    model: str = "mudar-small@served"
    model_root: Path = SHIPPED_MODELS  # checkpoints that came with the package; read only

    max_upload_mb: float = Field(default=2048, gt=0)
    max_duration_s: float = Field(default=3600, gt=0)
    max_pixels: int = Field(default=8192 * 8192, gt=0)
    probe_timeout_s: float = Field(default=15, gt=0)

    lease_s: float = Field(default=15, gt=0)  # a worker silent for this long has lost its job
    max_attempts: int = Field(default=3, ge=1)
    sweep_s: float = Field(default=2, gt=0)
    index_refresh_s: float = Field(default=0.25, gt=0)
    index_snapshot_s: float = Field(default=300, gt=0)
    index_device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")  # also keep exact indexes on this card
    index_exact_rows: int = Field(default=300_000, ge=0)  # above, search is approximate
    index_url: str = ""  # a Milvus that searches for all processes; empty: each searches in its own memory
    index_token: str = ""
    index_type: Literal["FLAT", "IVF_FLAT", "HNSW", "DISKANN"] = "FLAT"  # of its collections; FLAT alone is exact
    tidy_s: float = Field(default=600, gt=0)
    keep_jobs_s: float = Field(default=30 * 86400, gt=0)  # ended jobs, and the videos they made, are kept this long
    lost_after_s: float = Field(default=10, gt=0)  # queued this long while the broker holds nothing: queued anew
    visibility_timeout_s: int = Field(default=24 * 3600, gt=0)  # above every job's hard limit
    keepalive_s: float = Field(default=15, gt=0)  # a comment on a quiet event stream
    base_limit_s: float = Field(default=120, gt=0)  # a job may take this ...
    limit_per_media_s: float = Field(default=10, gt=0)  # ... and this for each second of its media
    enable_noop: bool = False  # POST /jobs/noop, for measuring what a request costs

    @property
    def database(self) -> str:
        """The SQLAlchemy URL: the one given, else SQLite inside the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'mudar.sqlite3'}"

    @property
    def model_name(self) -> str:
        """The model to use: the served version of a name, or its newest while none is marked as served."""
        return self.model.removesuffix("@served")

    @property
    def blobs_dir(self) -> Path:
        """Where uploads and rendered videos lie."""
        return self.data_dir / "blobs"

    @property
    def index_dir(self) -> Path:
        """Where snapshots of the search index lie; may be deleted at any time."""
        return self.data_dir / "index"

    @property
    def model_roots(self) -> list[Path]:
        """Writable root first: what was trained or promoted here wins over what was shipped."""
        return [self.data_dir / "models", self.model_root]

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
