"""Embeds the job's items: decodes, computes features, runs the network. An item that has an analysis keeps it."""

from __future__ import annotations

from typing import Any

from mudar.library import analyses
from mudar.library.db import Session
from mudar.library.items import get_item
from mudar.progress import Progress, scaled
from mudar.records import Analysis
from workers.context import StepContext


def embed(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Embeds every item of the job. Result: `items`, one record for each."""
    model, share = str(params["model"]), 0.99 / max(1, len(context.item_ids))
    records: list[dict[str, Any]] = []
    for number, item_id in enumerate(context.item_ids):
        progress = scaled(context.progress, number * share, (number + 1) * share)
        records.append(embed_item(context, item_id, model, progress)[0])
    return {"items": records}


def embed_item(
    context: StepContext, item_id: str, model: str, progress: Progress
) -> tuple[dict[str, Any], Analysis | None]:
    """Embeds one item: its record, and its analysis if it was made just now, else None. UnknownItem, media errors."""
    runtime = context.runtime
    with runtime.database.read() as session:
        item = get_item(session, item_id)
        existing = analyses.summary(session, item_id, model)
    if existing is not None:
        return existing, None
    progress(0.0, "model")
    analysis = runtime.embedder(model).file(runtime.blobs.path(item["sha256"]), item["kind"], progress)

    def store(session: Session) -> None:
        analyses.store_analysis(session, item_id, model, analysis)

    context.write(store)
    return _record(item_id, model, analysis), analysis


def _record(item_id: str, model: str, analysis: Analysis) -> dict[str, Any]:
    return {
        "id": item_id,
        "kind": analysis.kind,
        "duration_s": float(analysis.duration_s),
        "tempo_bpm": float(analysis.rhythm.tempo_bpm),
        "strokes": len(analysis.rhythm.times_s),
        "segments": len(analysis.segments),
        "model": model,
    }
