"""What a worker process holds from its first job to its last: database, files, Redis, models. The composition root.

Heavy things are loaded here, in the worker process, never in the parent that manages it.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from model_store.registry import Registry
from mudar.errors import MudarError
from mudar.library.blobs import BlobStore
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.ports import SearchBackend
from mudar.media.malloc import use_fixed_mmap_threshold
from mudar.parent_death import die_with_parent
from workers.liveness import announce
from workers.settings import Settings, settings

if TYPE_CHECKING:
    from mudar.embed import Embedder
    from mudar.media.interpolation.flow import PairFlow

log = logging.getLogger(__name__)

MODELS_HELD = 2  # the served one, and one that a job asked for by name


@dataclass
class Runtime:
    """One a process, made after the fork."""

    settings: Settings
    database: Database
    blobs: BlobStore
    redis: redis.Redis
    embedders: dict[str, Embedder] = field(default_factory=dict)
    followers: dict[str, SearchBackend] = field(default_factory=dict)
    flow: PairFlow | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def embedder(self, model: str) -> Embedder:
        """The embedder of this model (`name@version` or `name@alias`). UnknownModel, ChecksumMismatch, CardInvalid."""
        with self.lock:
            if model not in self.embedders:
                while len(self.embedders) >= MODELS_HELD:
                    self.embedders.pop(next(iter(self.embedders)))
                self.embedders[model] = _load(model, self.settings)
            return self.embedders[model]

    def pair_flow(self, interpolation: str) -> PairFlow | None:
        """Who estimates the flow between frames: PWC-Net on a card that has its weights; None if none is wanted."""
        if interpolation != "flow":
            return None
        from model_store.loader import flow_weights
        from mudar.media.interpolation.flow import pair_flow

        with self.lock:
            if self.flow is None:
                self.flow = pair_flow(self.settings.device, flow_weights(self.settings.model_roots))
            return self.flow

    def follower(self, model: str, embed_dim: int, rhythm_dim: int) -> SearchBackend:
        """This process's own index of the model, or the one that all share; it catches up when it is asked."""
        with self.lock:
            if model not in self.followers and self.settings.index_url:
                self.followers[model] = _remote(self.database, model, (embed_dim, rhythm_dim), self.settings)
            elif model not in self.followers:
                # A folder of its own: the front door's processes write their snapshots elsewhere.
                folder = self.settings.data_dir / "index" / "worker"
                self.followers[model] = IndexReplica(self.database, model, embed_dim, rhythm_dim, folder)
                self.followers[model].open()
            return self.followers[model]


def _remote(database: Database, model: str, dims: tuple[int, int], told: Settings) -> SearchBackend:
    from mudar.index.milvus import Milvus
    from mudar.library.search.milvus_replica import MilvusReplica

    return MilvusReplica(database, model, *dims, Milvus(told.index_url, told.index_token), index_type=told.index_type)


def _load(model: str, told: Settings) -> Embedder:
    import torch

    from model_store.loader import load
    from mudar.embed import Embedder

    torch.set_num_threads(told.torch_threads)
    return Embedder.from_loaded(load(model, told.model_roots, told.device))


def connect(redis_url: str) -> redis.Redis:
    """A client that gives up quickly: a wake-up that is late is worth nothing, and a heartbeat must not wait for it."""
    quick = {"socket_timeout": 2, "socket_connect_timeout": 1}
    return redis.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 1), **quick)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime, made at first use."""
    told = settings()
    Path(told.data_dir).mkdir(parents=True, exist_ok=True)
    return Runtime(
        settings=told,
        database=Database(told.database, durable=False),
        blobs=BlobStore(told.blobs_dir),
        redis=connect(told.redis_url),
    )


def start() -> None:
    """Prepare this process for its first job; a model that does not load fails the jobs that need it, with a reason."""
    die_with_parent(os.getppid())  # no orphan computes on
    use_fixed_mmap_threshold()
    held = runtime()
    about = {"model": held.settings.model_name, "device": held.settings.device}
    try:
        about["model"] = Registry(held.settings.model_roots).card(held.settings.model_name).id
        held.embedder(about["model"]).warm_up()
    except MudarError as error:
        log.error("the model %s cannot be loaded: %s", about["model"], error)
        about["error"] = error.detail
    announce(held.settings.redis_url, about)
