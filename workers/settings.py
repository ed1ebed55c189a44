"""What the engine room is told from outside: MUDAR_* variables, read once, then frozen. Light: no torch.

Names shared with the front door (service/settings.py) mean the same thing there.
"""

from __future__ import annotations

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

    model: str = "mudar-small@served"
    model_root: Path = SHIPPED_MODELS
    device: Literal["cpu", "cuda"] = "cpu"
    torch_threads: int = Field(default=1, ge=1)  # one thread a process beats two when the machine is busy

    max_duration_s: float = Field(default=3600, gt=0)
    max_pixels: int = Field(default=8192 * 8192, gt=0)
    probe_timeout_s: float = Field(default=15, gt=0)

    index_url: str = ""  # as the front door's
    index_token: str = ""
    index_type: Literal["FLAT", "IVF_FLAT", "HNSW", "DISKANN"] = "FLAT"

    lease_s: float = Field(default=15, gt=0)
    heartbeat_s: float = Field(default=3, gt=0)
    progress_s: float = Field(default=0.5, gt=0)  # progress is written down at most this often
    base_limit_s: float = Field(default=120, gt=0)
    visibility_timeout_s: int = Field(default=24 * 3600, gt=0)  # above every job's hard limit
    worker_memory_mb: int = Field(default=4096, gt=0)  # a process above this is replaced after its job
    worker_start_s: float = Field(default=180, gt=0)  # loading torch and the model may take this long

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
    def model_roots(self) -> list[Path]:
        """Writable root first: what was trained or promoted here wins over what was shipped."""
        return [self.data_dir / "models", self.model_root]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, parsed at first use."""
    return Settings()
