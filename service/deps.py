"""What a route may ask for. The one place where the front door's long-lived parts are put together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from mudar.library.blobs import BlobStore
from mudar.library.db import Database
from service.events import Events
from service.index import Indexes
from service.metrics import Metrics
from service.queue import Queue
from service.settings import Settings
from service.shelf import Shelf


@dataclass(frozen=True)
class House:
    """Made once, when the application starts."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: Queue
    events: Events
    shelf: Shelf
    indexes: Indexes
    metrics: Metrics
    searching: CapacityLimiter  # threads that search at once: more than cores only wait for each other


def build(settings: Settings) -> House:
    """The parts for these settings; nothing is contacted yet."""
    database = Database(settings.database)
    return House(
        settings=settings,
        database=database,
        blobs=BlobStore(settings.blobs_dir),
        queue=Queue(settings),
        events=Events(settings.redis_url),
        shelf=Shelf(settings.model_roots, settings.model_name),
        indexes=Indexes(database, settings),
        metrics=Metrics(),
        searching=CapacityLimiter(max((os.cpu_count() or 1) // settings.api_processes, 1)),
    )


def get_house(request: Request) -> House:
    """The running application's parts; tests may override this."""
    house: House = request.app.state.house
    return house


HouseDep = Annotated[House, Depends(get_house)]
