"""Measures whether a clip's picture is in time with its own sound, and corrects the file."""

from __future__ import annotations

from typing import Any

from mudar.library import analyses
from mudar.library.items import get_item
from mudar.progress import scaled
from workers.context import StepContext
from workers.handlers.embed import embed_item


def sync(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Compares picture and sound. Result: `verdict`, `offset_ms`, ...; with `fix` also `fixed`, perhaps `video_url`."""
    from mudar.media.render.remux import move_sound, suffix_for
    from mudar.rhythm.av_sync import compare

    runtime, model = context.runtime, str(params["model"])
    (item_id,) = context.item_ids
    _, analysis = embed_item(context, item_id, model, scaled(context.progress, 0.0, 0.5))
    with runtime.database.read() as session:
        item = get_item(session, item_id, model)
        dance = analysis.rhythm if analysis is not None else analyses.rhythm(session, item_id, model)
    path = runtime.blobs.path(item["sha256"])
    music = runtime.embedder(model).file(path, "music", scaled(context.progress, 0.5, 0.9))
    offset = compare(dance, music.rhythm, min(float(item["info"]["duration_s"]), music.duration_s))
    result = {"item_id": item_id, **offset.to_dict()}
    if not params.get("fix"):
        return result
    if offset.verdict != "off":
        return result | {"fixed": False}
    corrected = runtime.blobs.temp_path(suffix_for(item["info"]["container"]))
    try:
        move_sound(path, corrected, offset.offset_s, scaled(context.progress, 0.9, 0.98))
        context.keep("video", runtime.blobs.adopt(corrected).sha256)
    finally:
        corrected.unlink(missing_ok=True)
    return result | {"fixed": True, "video_url": f"/videos/{context.job_id}.mp4"}
