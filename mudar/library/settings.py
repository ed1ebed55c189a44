"""Reads the settings that the API and its workers share: MUDAR_* variables, parsed once, then frozen.

Every variable is listed in .env.example. Each program adds its own (service/settings.py, workers/settings.py); nothing
else looks at the environment. Loads no torch and no web framework.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

SHIPPED_MODELS = Path(__file__).resolve().parents[2] / "model_store" / "checkpoints"


class LibrarySettings(BaseSettings):
    """Where data, database, broker, models and search are. Times in seconds, sizes in what the name says."""

    model_config = SettingsConfigDict(
        env_prefix="MUDAR_", env_file=".env", frozen=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Path("data")
    database_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"

    model: str = "mudar-small@served"
    model_root: Path = SHIPPED_MODELS  # checkpoints that came with the package; read only

    index_url: str = ""  # a Milvus that searches for all processes; empty: each searches in its own memory
    index_token: str = ""
    index_type: Literal["FLAT", "IVF_FLAT", "HNSW", "DISKANN"] = "FLAT"  # of its collections; FLAT alone is exact

    lease_s: float = Field(default=15, gt=0)  # a worker silent for this long has lost its job
    base_limit_s: float = Field(default=120, gt=0)  # a job may take this, and more for each second of its media
    visibility_timeout_s: int = Field(default=24 * 3600, gt=0)  # above every job's hard limit

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Warns of variables that are set under their old names; the order of the sources is the usual one."""
        variables = {**dotenv_settings.env_vars, **env_settings.env_vars}  # type: ignore[attr-defined]
        for field in cls.model_fields.values():
            if isinstance(field.validation_alias, AliasChoices):
                new, old = map(str, field.validation_alias.choices)
                if old.lower() in variables:
                    warnings.warn(f"{old} is now called {new}; set that instead.", FutureWarning, stacklevel=5)
        return init_settings, env_settings, dotenv_settings, file_secret_settings


def renamed(default: float, name: str, old_name: str) -> Any:
    """Makes a positive setting that is also read under its old name, with a warning."""
    return Field(default=default, gt=0, validation_alias=AliasChoices(name, old_name))
