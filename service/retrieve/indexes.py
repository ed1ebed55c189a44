"""The search indexes of the models in use, made at first use; each follows the library in a thread of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mudar.errors import IndexUnavailable
from mudar.index.gpu import place_on
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.ports import SearchBackend
from mudar.records import Kind
from service.models.catalog import ModelInfo
from service.settings import Settings

if TYPE_CHECKING:
    from mudar.index.milvus import Milvus


class Indexes:
    """One follower a model, here or at MUDAR_INDEX_URL; vectors of two models never meet."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """IndexUnavailable when the settings name a graphics card that is not there."""
        self._database, self._settings = database, settings
        self._followers: dict[str, SearchBackend] = {}
        self._engine: Milvus | None = None
        self._place = None if settings.index_url else place_on(settings.index_device)
        self._lock = threading.Lock()

    def of(self, model: ModelInfo) -> SearchBackend:
        """The model's follower; the first call loads or builds its indexes."""
        with self._lock:
            if model.id not in self._followers:
                follower = self._remote(model) if self._settings.index_url else self._here(model)
                follower.start()
                self._followers[model.id] = follower
            return self._followers[model.id]

    def _here(self, model: ModelInfo) -> SearchBackend:
        told = self._settings
        return IndexReplica(
            self._database,
            model.id,
            model.embed_dim,
            model.rhythm_dim,
            told.index_dir,
            poll_s=told.index_refresh_s,
            save_every_s=told.index_snapshot_s,
            exact_rows=told.index_exact_rows,
            place=self._place,
        )

    def _remote(self, model: ModelInfo) -> SearchBackend:
        from mudar.library.search.milvus_replica import MilvusReplica

        told = self._settings
        dims = (model.embed_dim, model.rhythm_dim)
        poll_s, index_type = told.index_refresh_s, told.index_type
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
                (model, kind): len(follower.index(kind))
                for model, follower in list(self._followers.items())
                for kind in ("dance", "music")
            }
        except IndexUnavailable:
            return {}

    def approximate(self) -> dict[tuple[str, str], bool]:
        """Which indexes of this process look into lists, by model and kind."""
        here = [(model, f) for model, f in list(self._followers.items()) if isinstance(f, IndexReplica)]
        kinds: tuple[Kind, ...] = ("dance", "music")
        return {(model, kind): follower.index(kind).approximate for model, follower in here for kind in kinds}

    def stop(self) -> None:
        """Stop following, and leave snapshots behind."""
        with self._lock:
            for follower in self._followers.values():
                follower.stop()
            self._followers.clear()
            if self._engine is not None:
                self._engine.close()
