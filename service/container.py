"""Builds the long-lived parts of an API process, and gives them to its endpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from mudar.library.blobs import BlobStore
from mudar.library.db import Database
from service.jobs.events import Events
from service.jobs.queue import Queue
from service.metrics import Metrics
from service.models.catalog import ModelCatalog
from service.retrieve.batching import DynamicBatcher
from service.retrieve.indexes import Indexes
from service.retrieve.schemas import RetrieveRequest, SearchResults
from service.retrieve.search import Search
from service.settings import Settings

MAX_BATCH_SIZE = 16  # requests: of more, the first would wait longer than they save


@dataclass(frozen=True)
class Container:
    """Holds what was built when the application started."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: Queue
    events: Events
    catalog: ModelCatalog
    indexes: Indexes
    metrics: Metrics
    search: Search
    batcher: DynamicBatcher[RetrieveRequest, SearchResults]
    search_threads: CapacityLimiter  # of searches with filters: more than cores only wait for each other


def build_container(settings: Settings) -> Container:
    """Builds the parts for these settings; nothing is contacted yet."""
    database = Database(settings.database)
    catalog, indexes = ModelCatalog(settings.model_roots, settings.model_name), Indexes(database, settings)
    search, workers = Search(database, catalog, indexes), max((os.cpu_count() or 1) // settings.api_processes, 1)
    return Container(
        settings=settings,
        database=database,
        blobs=BlobStore(settings.blobs_dir),
        queue=Queue(settings),
        events=Events(settings.redis_url),
        catalog=catalog,
        indexes=indexes,
        metrics=Metrics(),
        search=search,
        batcher=DynamicBatcher(search.many, max_batch_size=MAX_BATCH_SIZE, workers=workers),
        search_threads=CapacityLimiter(workers),
    )


async def get_container(request: Request) -> Container:
    """The running application's parts; tests may override this."""
    container: Container = request.app.state.container
    return container


ContainerDep = Annotated[Container, Depends(get_container)]
