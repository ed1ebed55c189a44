"""Puts a dance onto another song's beat: finds both rhythms, retargets, keeps the video as the job's file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mudar.library import analyses
from mudar.library.items import get_item
from mudar.progress import Progress, scaled
from mudar.records import Rhythm
from workers.context import StepContext
from workers.handlers.embed import embed_item

if TYPE_CHECKING:
    from mudar.retarget.settings import RetargetSettings


def retarget(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Retargets the job's pair. Result: `video_url`, `report_url`, `method`, `duration_s`, `report`.

    Of a dry run: `previews`, one for each accent.
    RetargetRefused when no warp will do.
    """
    from mudar.retarget.settings import RetargetSettings

    settings = RetargetSettings(**params["settings"])
    dance_id, music_id = context.item_ids
    dance = rhythm_of_item(context, dance_id, params["model"], scaled(context.progress, 0.0, 0.3))
    music = rhythm_of_item(context, music_id, params["model"], scaled(context.progress, 0.3, 0.4))
    if "accents" in params:
        return predict(context, (dance_id, music_id), (dance, music), settings, params["accents"])
    return render(context, (dance_id, music_id), (dance, music), settings, scaled(context.progress, 0.4, 0.98))


def predict(
    context: StepContext,
    item_ids: tuple[str, str],
    rhythms: tuple[Rhythm, Rhythm],
    settings: RetargetSettings,
    accents: list[float | None],
) -> dict[str, Any]:
    """Predicts the report for each of these accents; nothing is rendered."""
    with context.runtime.database.read() as session:
        dance, music = (get_item(session, item_id)["info"] for item_id in item_ids)
    previews = []
    for number, accent in enumerate(accents):
        context.progress(0.4 + 0.6 * number / len(accents), "plan")
        report = predict_report(rhythms, dance, music, dataclasses.replace(settings, accent=accent))
        previews.append({"accent": report["accent"], "report": report})
    return {"dry_run": True, "method": settings.method, "previews": previews}


def predict_report(
    rhythms: tuple[Rhythm, Rhythm], dance: dict[str, Any], music: dict[str, Any], settings: RetargetSettings
) -> dict[str, Any]:
    """Predicts a report from the plan alone; `dance` and `music` are what probing their files gave. RetargetRefused."""
    from mudar.retarget.retarget import dry_run

    fps = float(dance["video"]["fps"])
    dance_s, music_s = float(dance["duration_s"]), float(music["duration_s"])
    return dry_run(rhythms[0], dance_s, rhythms[1], music_s, fps, settings)[1]


def render(
    context: StepContext,
    item_ids: tuple[str, str],
    rhythms: tuple[Rhythm, Rhythm],
    settings: RetargetSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Renders the dance of `item_ids` onto its music; video and chart become the job's files. Returns the result."""
    from mudar.retarget.report.chart import draw
    from mudar.retarget.retarget import AnalyzedFile
    from mudar.retarget.retarget import retarget as retarget_files

    runtime = context.runtime
    with runtime.database.read() as session:
        paths = [runtime.blobs.path(get_item(session, item_id)["sha256"]) for item_id in item_ids]
    dance, music = (AnalyzedFile(path, rhythm) for path, rhythm in zip(paths, rhythms, strict=True))
    video, chart = runtime.blobs.temp_path(".mp4"), runtime.blobs.temp_path(".png")
    try:
        result = retarget_files(dance, music, video, settings, progress, runtime.pair_flow(settings.interpolation))
        draw(result.report, chart)
        context.keep("video", runtime.blobs.adopt(video).sha256)
        context.keep("report", runtime.blobs.adopt(chart).sha256)
    finally:
        video.unlink(missing_ok=True)
        chart.unlink(missing_ok=True)
    return {
        "video_url": f"/videos/{context.job_id}.mp4",
        "report_url": f"/videos/{context.job_id}/report.png",
        "method": settings.method,
        "duration_s": result.duration_s,
        "report": result.report,
    }


def rhythm_of_item(context: StepContext, item_id: str, model: str, progress: Progress) -> Rhythm:
    """The item's rhythm by this model; embeds the item if that was not done yet."""
    _, analysis = embed_item(context, item_id, model, progress)
    if analysis is not None:
        return analysis.rhythm
    with context.runtime.database.read() as session:
        return analyses.rhythm(session, item_id, model)
