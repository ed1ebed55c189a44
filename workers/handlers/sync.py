"""Is a clip's picture in time with its own sound, and the file with that put right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mudar.library import analyses
from mudar.library.items import get_item
from mudar.progress import scaled
from workers.handlers.embed import embed_item

if TYPE_CHECKING:
    from workers.executor import StepContext


def sync(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Result: `verdict`, `offset_ms`, `confidence`, ...; with `fix`, `fixed` and, if something was, `video_url`."""
    from mudar.media.render.remux import move_sound, suffix_for
    from mudar.rhythm.av_sync import compare

    held, model = context.runtime, str(params["model"])
    (item_id,) = context.item_ids
    _, analysis = embed_item(context, item_id, model, scaled(context.progress, 0.0, 0.5))
    with held.database.read() as session:
        item = get_item(session, item_id, model)
        seen = analysis.rhythm if analysis is not None else analyses.rhythm(session, item_id, model)
    path = held.blobs.path(item["sha256"])
    heard = held.embedder(model).file(path, "music", scaled(context.progress, 0.5, 0.9))
    found = compare(seen, heard.rhythm, min(float(item["info"]["duration_s"]), heard.duration_s))
    result = {"item_id": item_id, **found.to_dict()}
    if not params.get("fix"):
        return result
    if found.verdict != "off":
        return result | {"fixed": False}
    made = held.blobs.temp_path(suffix_for(item["info"]["container"]))
    try:
        move_sound(path, made, found.offset_s, scaled(context.progress, 0.9, 0.98))
        context.keep("video", held.blobs.adopt(made).sha256)
    finally:
        made.unlink(missing_ok=True)
    return result | {"fixed": True, "video_url": f"/videos/{context.job_id}.mp4"}
