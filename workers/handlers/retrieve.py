"""Search with a file that is not stored: embed it, then ask the same index in the same words as the front door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mudar.library.search.search import Filters, Question, search
from mudar.progress import scaled

if TYPE_CHECKING:
    from workers.executor import StepContext


def retrieve(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Result: `query` and `results`, as POST /retrieve gives them for an item."""
    held, model, kind = context.runtime, str(params["model"]), params["kind"]
    analysis = held.embedder(model).file(held.blobs.path(params["sha256"]), kind, scaled(context.progress, 0, 0.95))
    context.progress(0.95, "search")
    first = analysis.segments[0]
    follower = held.follower(model, len(first.embedding), len(first.rhythm))
    labelled = Filters(labels=params["label"])
    question = Question(kind, analysis.segments, int(params["k"]), float(params["lambda"]), labelled)
    query = {"id": None, "tempo_bpm": float(analysis.rhythm.tempo_bpm)}
    query |= {name: params[name] for name in ("kind", "k", "lambda", "label", "model")}
    return {"query": query, "results": search(held.database, follower, question)}
