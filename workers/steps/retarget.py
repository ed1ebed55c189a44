"""Put a dance onto another song's beat: the rhythms of both (made now if new), the core's retargeting, a blob."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mudar.library import analyses
from mudar.library.items import get_item
from mudar.progress import Progress, scaled
from mudar.records import Rhythm
from workers.steps.embed import embed_item

if TYPE_CHECKING:
    from workers.run import StepContext


def retarget(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Result: `video_url`, `method`, `duration_s`, `report`. RetargetRefused when no acceptable warp exists."""
    from mudar.retarget.retarget import retarget as render
    from mudar.retarget.settings import RetargetSettings

    held, settings = context.runtime, RetargetSettings(**params["settings"])
    dance_id, music_id = context.item_ids
    dance = _rhythm(context, dance_id, params["model"], scaled(context.progress, 0.0, 0.3))
    music = _rhythm(context, music_id, params["model"], scaled(context.progress, 0.3, 0.4))
    with held.database.read() as session:
        dance_path, music_path = (
            held.blobs.path(get_item(session, item_id)["sha256"]) for item_id in (dance_id, music_id)
        )
    made = held.blobs.temp_path(".mp4")
    try:
        progress = scaled(context.progress, 0.4, 0.98)
        result = render(dance_path, music_path, made, dance, music, settings, progress)
        context.keep("video", held.blobs.adopt(made).sha256)
    finally:
        made.unlink(missing_ok=True)
    url = f"/videos/{context.job_id}.mp4"
    return {"video_url": url, "method": settings.method, "duration_s": result.duration_s, "report": result.report}


def _rhythm(context: StepContext, item_id: str, model: str, progress: Progress) -> Rhythm:
    _, analysis = embed_item(context, item_id, model, progress)
    if analysis is not None:
        return analysis.rhythm
    with context.runtime.database.read() as session:
        return analyses.rhythm(session, item_id, model)
