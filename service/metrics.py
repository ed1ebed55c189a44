"""Counts what /metrics shows: requests as they pass, jobs and items as the database has them. Knows no route."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Holds one registry an application, so that two in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mudar_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mudar_http_request_seconds",
            "Time to answer, the whole body included.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.jobs = Gauge("mudar_jobs", "Jobs by state.", ["state"], registry=self.registry)
        self.items = Gauge("mudar_items", "Items in the library.", ["kind"], registry=self.registry)
        self.waiting = Gauge("mudar_queue_messages", "Messages on the broker's queue.", registry=self.registry)
        self.workers = Gauge("mudar_workers", "Worker processes heard of lately.", registry=self.registry)
        self.segments = Gauge(
            "mudar_index_segments", "Segments in the search index.", ["model", "kind"], registry=self.registry
        )
        self.approximate = Gauge(
            "mudar_index_approximate",
            "1 when the search index looks into lists.",
            ["model", "kind"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self.registry)


class RequestMetrics:
    """Counts and times each request under its route's template, as ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), "500"

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.requests.labels(scope["method"], route, status).inc()
            self.metrics.seconds.labels(scope["method"], route).observe(time.perf_counter() - started)
