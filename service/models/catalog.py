"""The models that this service may use, by their cards alone: the API knows names and numbers, never weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store.card import Card
from model_store.registry import Registry
from mudar.errors import MudarError

FRESH_S = 1.0  # how long an answer of the disk is believed: a promotion takes hold within that


@dataclass(frozen=True)
class ModelInfo:
    """What the front door must know of a model: `id` is name@version, E and R the lengths of its vectors."""

    id: str
    lambda_default: float
    embed_dim: int
    rhythm_dim: int


class ModelCatalog:
    """Names to models, asked of the disk at most once a second."""

    def __init__(self, roots: Sequence[Path], default: str) -> None:
        self.registry, self._default = Registry(roots), default
        self._known: dict[str, tuple[float, ModelInfo]] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str | None) -> ModelInfo:
        """The model of this name (name, name@alias, name@version; default: the served one). UnknownModel."""
        asked = name or self._default
        with self._lock:
            at, model = self._known.get(asked, (0.0, None))
            if model is None or time.monotonic() - at > FRESH_S:
                model = self._look(asked)
                self._known[asked] = (time.monotonic(), model)
            return model

    def _look(self, asked: str) -> ModelInfo:
        card = self.registry.card(asked)
        return ModelInfo(card.id, card.lambda_default, card.model.embed_dim, card.model.rhythm_dim)

    def listed(self) -> list[dict[str, Any]]:
        """Every model on the shelf, as GET /models shows it."""
        served = self._served()
        return [describe(self.registry, card, served) for card in self.registry.cards()]

    def _served(self) -> str | None:
        try:
            return self.resolve(None).id
        except MudarError:
            return None


def describe(registry: Registry, card: Card, served: str | None) -> dict[str, Any]:
    """A card as GET /models and `mudar models` show it."""
    aliases = [alias for alias, meant in registry.aliases(card.name).items() if meant.version == card.version]
    words = ("id", "name", "version", "sha256", "created", "commit", "licence", "data", "lambda_default")
    return {
        **{word: getattr(card, word) for word in words},
        "aliases": sorted(aliases),
        "served": card.id == served,
        "metrics": dict(card.metrics),
        "features": card.spec.to_dict(),
        "model": card.model.to_dict(),
    }
