"""Opens the search index of each model at first use; each follows the library in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mudar.errors import IndexUnavailable
from mudar.index.gpu import to_device
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.ports import SearchBackend
from mudar.records import Kind
from service.models.catalog import ModelInfo
from service.settings import Settings

if TYPE_CHECKING:
    from mudar.index.milvus import Milvus


class Indexes:
    """Holds one search backend a model, here or at MUDAR_INDEX_URL; vectors of two models never meet."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """IndexUnavailable when the settings name a graphics card that is not there."""
        self._database, self._settings = database, settings
        self._backends: dict[str, SearchBackend] = {}
        self._engine: Milvus | None = None
        self._device = None if settings.index_url else to_device(settings.index_device)
        self._lock = threading.Lock()

    def of(self, model: ModelInfo) -> SearchBackend:
        """The model's backend; the first call loads or builds its indexes."""
        with self._lock:
            if model.id not in self._backends:
                backend = self._remote(model) if self._settings.index_url else self._here(model)
                backend.start()
                self._backends[model.id] = backend
            return self._backends[model.id]

    def _here(self, model: ModelInfo) -> SearchBackend:
        settings = self._settings
        return IndexReplica(
            self._database,
            model.id,
            model.embed_dim,
            model.rhythm_dim,
            settings.index_dir,
            poll_s=settings.index_refresh_s,
            save_every_s=settings.index_snapshot_s,
            exact_rows=settings.index_exact_rows,
            device=self._device,
        )

    def _remote(self, model: ModelInfo) -> SearchBackend:
        from mudar.library.search.milvus_replica import MilvusReplica

        settings = self._settings
        dims = (model.embed_dim, model.rhythm_dim)
        poll_s, index_type = settings.index_refresh_s, settings.index_type
        return MilvusReplica(self._database, model.id, *dims, self._milvus(), poll_s=poll_s, index_type=index_type)

    def _milvus(self) -> Milvus:
        from mudar.index.milvus import Milvus

        if self._engine is None:
            self._engine = Milvus(self._settings.index_url, self._settings.index_token)
        return self._engine

    def ping(self) -> str:
        """What searches: this process, or the engine's version. IndexUnavailable."""
        if not self._settings.index_url:
            return "in this process"
        with self._lock:
            engine = self._milvus()
        return engine.ping()

    def sizes(self) -> dict[tuple[str, str], int]:
        """Segments by model and kind; none while the engine that holds them is away."""
        try:
            return {
                (model, kind): len(backend.index(kind))
                for model, backend in list(self._backends.items())
                for kind in ("dance", "music")
            }
        except IndexUnavailable:
            return {}

    def approximate(self) -> dict[tuple[str, str], bool]:
        """Which indexes of this process are approximate, by model and kind."""
        here = [(model, f) for model, f in list(self._backends.items()) if isinstance(f, IndexReplica)]
        kinds: tuple[Kind, ...] = ("dance", "music")
        return {(model, kind): backend.index(kind).approximate for model, backend in here for kind in kinds}

    def stop(self) -> None:
        """Stop following, and leave snapshots behind."""
        with self._lock:
            for backend in self._backends.values():
                backend.stop()
            self._backends.clear()
            if self._engine is not None:
                self._engine.close()
