"""Searches with a file that is not stored: embeds it, then asks the same index as POST /retrieve does."""

from __future__ import annotations

from typing import Any

from mudar.library.search.search import Filters, Question, search
from mudar.progress import scaled
from workers.context import StepContext


def retrieve(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Finds what fits the job's file. Result: `query` and `results`, as POST /retrieve gives them for an item."""
    runtime, model, kind = context.runtime, str(params["model"]), params["kind"]
    analysis = runtime.embedder(model).file(
        runtime.blobs.path(params["sha256"]), kind, scaled(context.progress, 0, 0.95)
    )
    context.progress(0.95, "search")
    first = analysis.segments[0]
    backend = runtime.search_backend(model, len(first.embedding), len(first.rhythm))
    labelled = Filters(labels=params["label"])
    question = Question(kind, analysis.segments, int(params["k"]), float(params["lambda"]), labelled)
    query = {"id": None, "tempo_bpm": float(analysis.rhythm.tempo_bpm)}
    query |= {name: params[name] for name in ("kind", "k", "lambda", "label", "model")}
    return {"query": query, "results": search(runtime.database, backend, question)}
