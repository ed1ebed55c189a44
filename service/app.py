"""Makes the API as an ASGI application: `uvicorn --factory service.app:create_app`. Loads no torch.

Long-lived parts are built when the application starts (container.py) and live in its lifespan, with its background
tasks: listening for wake-ups, requeueing lost jobs, removing what nobody needs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse
from threadpoolctl import threadpool_limits

from service import errors, health
from service.body_limit import LimitBody
from service.container import build_container
from service.embed import endpoints as embed
from service.items import endpoints as items
from service.jobs import endpoints as jobs
from service.maintenance import Maintenance
from service.metrics import RequestMetrics
from service.models import endpoints as models
from service.retarget import endpoints as retarget
from service.retrieve import endpoints as retrieve
from service.routing import refuse_bad_parameters, upload_paths
from service.settings import Settings
from service.settings import settings as read_settings
from service.soundtrack import endpoints as soundtrack
from service.uploads import DrainRequestBody

WEB = Path(__file__).parent / "web"
VERSION = "0.2.0"
DESCRIPTION = """Music and dance, understood together: **embed** a dance or a song, **retrieve** what fits it,
**retarget** a dance onto another song's beat. Long work answers 202 with a job; follow it at `/jobs/{id}`."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Migrates the database, then starts the background tasks; all are ended in the reverse order."""
    container = app.state.container
    await run_in_threadpool(container.database.migrate)
    container.events.start()
    maintenance = Maintenance(container)
    maintenance.start()
    with threadpool_limits(1, user_api="blas"):  # searches share the cores already; products must not divide them again
        yield
    await maintenance.stop()
    await container.events.stop()
    container.queue.close()
    container.database.close()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Makes the application for these settings (default: from the environment)."""
    about = {"title": "MuDaR", "version": VERSION, "description": DESCRIPTION, "favicon_url": "/static/favicon.svg"}
    app = FastAPIOffline(**about, lifespan=lifespan, responses=errors.PROBLEMS)  # as FastAPI; /docs asks no other host
    app.state.container = container = build_container(settings or read_settings())
    errors.install(app)
    routers = [part.router for part in (embed, retrieve, retarget, soundtrack, jobs, items, models, health)]
    for router in [*routers, *([jobs.noop_router] if container.settings.enable_noop else [])]:
        app.include_router(router, dependencies=[Depends(refuse_bad_parameters)])
    app.add_middleware(LimitBody, upload_paths=upload_paths(routers))
    app.add_middleware(DrainRequestBody)
    app.add_middleware(RequestMetrics, metrics=container.metrics)
    if WEB.is_dir():
        app.mount("/static", StaticFiles(directory=WEB), name="static")
        app.add_api_route("/", _page, include_in_schema=False)
    return app


def _page() -> FileResponse:
    return FileResponse(WEB / "index.html", headers={"cache-control": "no-cache"})
