"""Resolves model names by their cards alone: the API knows names and numbers, never weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.registry import Registry
from mudar.errors import MudarError
from mudar.model.checkpoint import Card
from service.models.schemas import Model

CACHE_S = 1.0  # how long an answer of the disk is believed: a promotion takes hold within that


@dataclass(frozen=True)
class ModelInfo:
    """Holds what a search must know of a model: `id` is name@version, the dims are the lengths of its vectors."""

    id: str
    lambda_default: float
    embed_dim: int
    rhythm_dim: int


class ModelCatalog:
    """Resolves names, reading the disk at most once a second for each."""

    def __init__(self, roots: Sequence[Path], default: str) -> None:
        self.registry, self._default = Registry(roots), default
        self._cache: dict[str, tuple[float, ModelInfo]] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str | None) -> ModelInfo:
        """The model of this name (name, name@alias, name@version; default: the served one). UnknownModel."""
        name = name or self._default
        with self._lock:
            at, model = self._cache.get(name, (0.0, None))
            if model is None or time.monotonic() - at > CACHE_S:
                card = self.registry.card(name)
                model = ModelInfo(card.id, card.lambda_default, card.model.embed_dim, card.model.rhythm_dim)
                self._cache[name] = (time.monotonic(), model)
            return model

    def list_models(self) -> list[Model]:
        """Every model of the registry, as GET /models shows it."""
        served = self._served()
        return [describe(self.registry, card, served) for card in self.registry.cards()]

    def _served(self) -> str | None:
        try:
            return self.resolve(None).id
        except MudarError:
            return None


def describe(registry: Registry, card: Card, served: str | None) -> Model:
    """A card as GET /models and `mudar models` show it."""
    return Model(
        id=card.id,
        name=card.name,
        version=card.version,
        aliases=sorted(a for a, meant in registry.aliases(card.name).items() if meant.version == card.version),
        served=card.id == served,
        sha256=card.sha256,
        created=card.created,
        commit=card.commit,
        licence=card.licence,
        data=card.data,
        lambda_default=card.lambda_default,
        metrics=dict(card.metrics),
        features=card.spec.to_dict(),
        model=card.model.to_dict(),
    )
