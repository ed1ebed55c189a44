"""Defines what the API says of models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Model(BaseModel):
    """Describes a checkpoint that this service can use, as its card does."""

    id: str
    name: str
    version: str
    aliases: list[str]
    served: bool
    sha256: str
    created: str
    commit: str
    licence: str
    data: str
    lambda_default: float
    metrics: dict[str, Any]
    features: dict[str, Any]
    model: dict[str, Any]


class Models(BaseModel):
    """Lists the checkpoints that this service can use."""

    models: list[Model]
