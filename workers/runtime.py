"""Builds what a worker process uses from its first job to its last: database, files, Redis, models.

Heavy things are loaded here, in the worker process, never in the parent that manages it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
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
from mudar.media.decode.malloc import use_fixed_mmap_threshold
from mudar.parent_death import die_with_parent
from mudar.records import Segment
from workers.liveness import announce
from workers.settings import Settings
from workers.settings import settings as read_settings

if TYPE_CHECKING:
    from mudar.embed import Embedder
    from mudar.media.interpolation.flow import PairFlow

log = logging.getLogger(__name__)

MAX_MODELS = 2  # the served one, and one that a job asked for by name


@dataclass
class Runtime:
    """Holds the long-lived parts of one process; made after the fork."""

    settings: Settings
    database: Database
    blobs: BlobStore
    redis: redis.Redis
    embedders: dict[str, Embedder] = field(default_factory=dict)
    search_backends: dict[str, SearchBackend] = field(default_factory=dict)
    flow: PairFlow | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def embedder(self, model: str) -> Embedder:
        """Loads the embedder of `name@version` or `name@alias`. UnknownModel, ChecksumMismatch, CardInvalid."""
        with self.lock:
            if model not in self.embedders:
                while len(self.embedders) >= MAX_MODELS:
                    self.embedders.pop(next(iter(self.embedders)))
                self.embedders[model] = _load(model, self.settings)
            return self.embedders[model]

    def pair_flow(self, interpolation: str) -> PairFlow | None:
        """Makes the estimator of flow between frames, PWC-Net where a GPU has its weights; None for other methods."""
        if interpolation != "flow":
            return None
        from model_store.loader import flow_weights
        from mudar.media.interpolation.flow import pair_flow

        with self.lock:
            if self.flow is None:
                self.flow = pair_flow(self.settings.device, flow_weights(self.settings.model_roots))
            return self.flow

    def search_backend(self, model: str, segments: Sequence[Segment]) -> SearchBackend:
        """Opens this process's own index of the model, or the shared one; each search catches up with the library.

        segments: some of the model's, which say how long its vectors are.
        """
        dims = len(segments[0].embedding), len(segments[0].rhythm)
        with self.lock:
            if model not in self.search_backends and self.settings.index_url:
                self.search_backends[model] = _remote(self.database, model, dims, self.settings)
            elif model not in self.search_backends:
                # A folder of its own: the API's processes write their snapshots elsewhere.
                folder = self.settings.data_dir / "index" / "worker"
                self.search_backends[model] = IndexReplica(self.database, model, *dims, folder)
                self.search_backends[model].open()
            return self.search_backends[model]


def _remote(database: Database, model: str, dims: tuple[int, int], settings: Settings) -> SearchBackend:
    from mudar.index.milvus import Milvus
    from mudar.library.search.milvus_replica import MilvusReplica

    return MilvusReplica(
        database, model, *dims, Milvus(settings.index_url, settings.index_token), index_type=settings.index_type
    )


def _load(model: str, settings: Settings) -> Embedder:
    import torch

    from model_store.loader import load
    from mudar.embed import Embedder

    torch.set_num_threads(settings.torch_threads)
    return Embedder.from_loaded(load(model, settings.model_roots, settings.device))


def connect(redis_url: str) -> redis.Redis:
    """Makes a client that gives up quickly: a late wake-up is worth nothing, and a heartbeat must not wait for it."""
    quick = {"socket_timeout": 2, "socket_connect_timeout": 1}
    return redis.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 1), **quick)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """Makes the process's runtime at first use."""
    settings = read_settings()
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    return Runtime(
        settings=settings,
        database=Database(settings.database, durable=False),
        blobs=BlobStore(settings.blobs_dir),
        redis=connect(settings.redis_url),
    )


def start() -> None:
    """Prepares this process for its first job; a model that does not load fails the jobs that need it."""
    die_with_parent(os.getppid())  # no orphan computes on
    use_fixed_mmap_threshold()
    parts = runtime()
    about = {"model": parts.settings.model_name, "device": parts.settings.device}
    try:
        about["model"] = Registry(parts.settings.model_roots).card(parts.settings.model_name).id
        parts.embedder(about["model"]).warm_up()
    except MudarError as error:
        log.error("the model %s cannot be loaded: %s", about["model"], error)
        about["error"] = error.detail
    announce(parts.settings.redis_url, about)
