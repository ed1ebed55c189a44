"""A migrated database of each kind, and analyses to put into it."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mudar.library import items
from mudar.library.db import Database
from mudar.records import Analysis, Kind, Rhythm, Segment

EMBED_DIM, RHYTHM_DIM = 6, 4


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty library, on SQLite and on PostgreSQL."""
    database = Database(database_url, durable=False)  # as PostgreSQL here: nothing is flushed that dies with the suite
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def analysis() -> Callable[..., Analysis]:
    """Makes analyses whose every number depends on the seed."""

    def make(seed: int = 0, kind: Kind = "dance", segments: int = 3, model: str = "m@1") -> Analysis:
        rng = np.random.default_rng(seed)

        def unit(size: int) -> np.ndarray:
            vector = rng.normal(size=size)
            return (vector / np.linalg.norm(vector)).astype(np.float32)

        times = np.sort(rng.uniform(0, 20, 7)).astype(np.float32)
        curve = rng.uniform(0, 1, 40).astype(np.float32)
        alternatives = ((118.5, 0.75), (59.25, 0.25))
        rhythm = Rhythm(
            times,
            curve[:7],
            curve,
            15.0,
            118.5,
            alternatives,
            times[::2],
            times[::4],
            times[1::2],
            curve.reshape(-1, 4),
            30.0,
        )
        parts = tuple(Segment(4.0 * i, 4.0 * i + 8, unit(EMBED_DIM), unit(RHYTHM_DIM)) for i in range(segments))
        return Analysis(kind, 20.5, model, rhythm, parts, {"flow": 1.25})

    return make


@pytest.fixture
def new_item(database: Database) -> Callable[..., str]:
    """Makes items of bytes that nobody had before, each in its own transaction; gives their ids."""
    numbers = itertools.count()

    def make(kind: Kind = "dance", **kw: object) -> str:
        sha256 = hashlib.sha256(str(next(numbers)).encode()).hexdigest()
        with database.begin() as session:
            return str(items.create_item(session, items.NewItem(sha256, kind, **kw))["id"])  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def tick() -> Callable[[], None]:
    """Waits until the database's clock has moved on: SQLite's counts milliseconds."""
    return lambda: time.sleep(0.002)
