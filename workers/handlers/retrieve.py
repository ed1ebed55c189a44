"""Searches with a file that is not stored: embeds it, then asks the same index as POST /retrieve does."""

from __future__ import annotations

import dataclasses
from typing import Any

from mudar.index.types import SearchRequest
from mudar.library.search.search import Filters, other_kind, search, stack_segments
from mudar.progress import scaled
from workers.context import StepContext


def retrieve(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Finds what fits the job's file. Result: `query` and `results`, as POST /retrieve gives them for an item."""
    runtime, model, kind = context.runtime, str(params["model"]), params["kind"]
    path = runtime.blobs.path(params["sha256"])
    analysis = runtime.embedder(model).file(path, kind, scaled(context.progress, 0, 0.95))
    context.progress(0.95, "search")
    with runtime.database.read() as session:
        allow = Filters(params["label"]).allowed(session, other_kind(kind), model)
    query = stack_segments(analysis.segments)
    request = SearchRequest(**query, lam=float(params["lambda"]), k=int(params["k"]), allow=allow)
    backend = runtime.search_backend(model, analysis.segments)
    results = search(runtime.database, backend, other_kind(kind), request)
    echo = {"id": None, "tempo_bpm": float(analysis.rhythm.tempo_bpm)}
    echo |= {name: params[name] for name in ("kind", "k", "lambda", "label", "model")}
    return {"query": echo, "results": [dataclasses.asdict(result) for result in results]}
