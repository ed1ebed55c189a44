"""Is it alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from mudar.errors import WorkerLost
from mudar.library.items import count_items
from mudar.library.jobs import count_jobs
from service.container import Container, ContainerDep

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
def ready(container: ContainerDep) -> JSONResponse:
    """Database, broker, a worker, the model and what searches are there; 503 with what is missing otherwise."""
    checks: dict[str, Callable[[], object]] = {
        "database": container.database.ping,
        "redis": container.queue.ping,
        "worker": lambda: _worker(container),
        "model": lambda: container.shelf.resolve(None).id,
        "index": container.indexes.ping,
    }
    found = {name: _tried(check) for name, check in checks.items()}
    all_well = all(answer["ok"] for answer in found.values())
    body = {"status": "ok" if all_well else "not ready", "checks": found}
    return JSONResponse(body, status_code=200 if all_well else 503)


def _tried(check: Callable[[], object]) -> dict[str, Any]:
    try:
        answer = check()
    except Exception as error:  # noqa: BLE001 - an edge: whatever it is, this part is not ready
        return {"ok": False, "detail": str(error)}
    return {"ok": True, "detail": answer if isinstance(answer, (str, dict)) else "answers"}


def _worker(container: Container) -> dict[str, Any]:
    workers = container.queue.workers()
    if not workers:
        raise WorkerLost("No worker was heard of lately.")
    return workers


@router.get("/metrics", include_in_schema=False)
def metrics(container: ContainerDep) -> Response:
    """Prometheus."""
    told = container.metrics
    with container.database.read() as session:
        for state, count in count_jobs(session).items():
            told.jobs.labels(state).set(count)
        for kind, count in count_items(session).items():
            told.items.labels(kind).set(count)
    for (model, kind), count in container.indexes.sizes().items():
        told.segments.labels(model, kind).set(count)
    for (model, kind), whether in container.indexes.approximate().items():
        told.approximate.labels(model, kind).set(whether)
    _tried(lambda: told.waiting.set(container.queue.waiting()))
    _tried(lambda: told.workers.set(len(container.queue.workers())))
    return Response(told.text(), media_type=CONTENT_TYPE_LATEST)
