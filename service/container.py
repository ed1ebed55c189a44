"""What a route may ask for. The one place where the front door's long-lived parts are put together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

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
from service.retrieve.search import Search, Wanted
from service.settings import Settings

MOST_TOGETHER = 16  # questions: of more, the first would wait longer than they save


@dataclass(frozen=True)
class Container:
    """Made once, when the application starts."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: Queue
    events: Events
    shelf: ModelCatalog
    indexes: Indexes
    metrics: Metrics
    search: Search
    together: DynamicBatcher[Wanted, dict[str, Any]]
    searching: CapacityLimiter  # threads that search with filters: more than cores only wait for each other


def build_container(settings: Settings) -> Container:
    """The parts for these settings; nothing is contacted yet."""
    database = Database(settings.database)
    shelf, indexes = ModelCatalog(settings.model_roots, settings.model_name), Indexes(database, settings)
    search, at_once = Search(database, shelf, indexes), max((os.cpu_count() or 1) // settings.api_processes, 1)
    return Container(
        settings=settings,
        database=database,
        blobs=BlobStore(settings.blobs_dir),
        queue=Queue(settings),
        events=Events(settings.redis_url),
        shelf=shelf,
        indexes=indexes,
        metrics=Metrics(),
        search=search,
        together=DynamicBatcher(search.by_items, at_once, MOST_TOGETHER),
        searching=CapacityLimiter(at_once),
    )


async def get_container(request: Request) -> Container:
    """The running application's parts; tests may override this."""
    container: Container = request.app.state.container
    return container


ContainerDep = Annotated[Container, Depends(get_container)]
