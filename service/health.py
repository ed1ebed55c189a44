"""Says whether the service is alive and ready, and what it counts."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from mudar.errors import WorkerLost
from mudar.library.items import count_items
from mudar.library.jobs import count_jobs
from service.container import Container, ContainerDep

router = APIRouter(tags=["health"])
Detail = str | dict[str, dict[str, str]]


class Liveness(BaseModel):
    """Says that the process answers."""

    status: str


class Check(BaseModel):
    """Says whether one part is ready, and what it answered; of workers, what each said of itself."""

    ok: bool
    detail: Detail


class Readiness(BaseModel):
    """Says whether everything is ready."""

    status: str
    checks: dict[str, Check]


@router.get("/health/live")
def live() -> Liveness:
    """Says that the process answers."""
    return Liveness(status="ok")


@router.get("/health/ready", responses={503: {"model": Readiness, "description": "Something is missing."}})
def ready(response: Response, container: ContainerDep) -> Readiness:
    """Database, broker, a worker, the model and what searches are there; 503 with what is missing otherwise."""
    readiness = check_all(container)
    response.status_code = 200 if readiness.status == "ok" else 503
    return readiness


@router.get("/metrics", include_in_schema=False)
def metrics(container: ContainerDep) -> Response:
    """Returns the metrics for Prometheus."""
    _count(container)
    return Response(container.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def check_all(container: Container) -> Readiness:
    """Asks every part that a request may need."""
    parts: dict[str, Callable[[], Detail | None]] = {
        "database": container.database.ping,
        "redis": container.queue.ping,
        "worker": lambda: _workers(container),
        "model": lambda: container.catalog.resolve(None).id,
        "index": container.indexes.ping,
    }
    checks = {name: _check(ask) for name, ask in parts.items()}
    return Readiness(status="ok" if all(check.ok for check in checks.values()) else "not ready", checks=checks)


def _check(ask: Callable[[], Detail | None]) -> Check:
    try:
        return Check(ok=True, detail=ask() or "answers")
    except Exception as error:  # noqa: BLE001 - an edge: whatever it is, this part is not ready
        return Check(ok=False, detail=str(error))


def _workers(container: Container) -> dict[str, dict[str, str]]:
    workers = container.queue.workers()
    if not workers:
        raise WorkerLost("No worker was heard of lately.")
    return workers


def _count(container: Container) -> None:
    gauges = container.metrics
    with container.database.read() as session:
        for state, count in count_jobs(session).items():
            gauges.jobs.labels(state).set(count)
        for kind, count in count_items(session).items():
            gauges.items.labels(kind).set(count)
    for (model, kind), count in container.indexes.sizes().items():
        gauges.segments.labels(model, kind).set(count)
    for (model, kind), approximate in container.indexes.approximate().items():
        gauges.approximate.labels(model, kind).set(approximate)
    _check(lambda: gauges.waiting.set(container.queue.waiting()))
    _check(lambda: gauges.workers.set(len(container.queue.workers())))
