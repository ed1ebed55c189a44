"""Finds music for a dance: ranks the best songs by how well the dance warps onto them and renders the first.

The others come with the report that their plan predicts.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mudar.index.types import SearchRequest
from mudar.library import analyses
from mudar.library.items import get_item
from mudar.library.search.search import search, stack_segments
from mudar.progress import scaled
from workers.context import StepContext
from workers.handlers.embed import embed_item
from workers.handlers.retarget import predict_report, render

if TYPE_CHECKING:
    from mudar.retarget.settings import RetargetSettings

LEFT_OUT_OF_REPORTS = ("map_nodes", "onsets", "strokes")


def soundtrack(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Renders the best song's retargeting. Result: as of a retargeting, and `music_id`, `songs`. RetargetRefused."""
    from mudar.errors import RetargetRefused
    from mudar.retarget.settings import RetargetSettings

    settings, model = RetargetSettings(**params["settings"]), str(params["model"])
    (dance_id,) = context.item_ids
    embed_item(context, dance_id, model, scaled(context.progress, 0.0, 0.3))
    songs = _ranked(context, dance_id, model, settings, params)
    fitting = [song for song in songs if song["refused"] is None]
    if not fitting:
        raise RetargetRefused(
            f"The dance cannot be warped onto any of the {len(songs)} best songs: {songs[0]['refused']}",
            hint="Widen min_speed and max_speed, raise k, or add more music.",
        )
    music_id = str(fitting[0]["id"])
    with context.runtime.database.read() as session:
        rhythms = analyses.rhythm(session, dance_id, model), analyses.rhythm(session, music_id, model)
    result = render(context, (dance_id, music_id), rhythms, settings, scaled(context.progress, 0.4, 0.98))
    return {**result, "music_id": music_id, "songs": songs}


def _ranked(
    context: StepContext, dance_id: str, model: str, settings: RetargetSettings, params: dict[str, Any]
) -> list[dict[str, Any]]:
    """The k best songs, those that warp best first, refused ones last."""
    runtime = context.runtime
    with runtime.database.read() as session:
        item, segments = get_item(session, dance_id, model), analyses.segments(session, dance_id, model)
        dance = analyses.rhythm(session, dance_id, model)
    context.progress(0.3, "search")
    request = SearchRequest(**stack_segments(segments), lam=float(params["lambda"]), k=int(params["k"]))
    results = search(runtime.database, runtime.search_backend(model, segments), "music", request)
    songs = []
    for number, result in enumerate(results):
        context.progress(0.3 + 0.1 * number / len(results), "plan")
        with runtime.database.read() as session:
            music, song = analyses.rhythm(session, result.id, model), get_item(session, result.id, model)
        prediction = _predicted(dance, item["info"], music, song["info"], settings)
        songs.append(dataclasses.asdict(result) | prediction)
    return sorted(songs, key=lambda song: (song["refused"] is not None, song["warp_cost"] or 0.0, -song["score"]))


def _predicted(dance: Any, dance_info: Any, music: Any, music_info: Any, settings: RetargetSettings) -> dict[str, Any]:
    """`speed_changes`, the predicted `report`, and why it would be `refused`, or None."""
    from mudar.errors import RetargetRefused
    from mudar.retarget.report.report import speed_changes

    try:
        report = predict_report((dance, music), dance_info, music_info, settings)
    except RetargetRefused as refused:
        return {"refused": refused.detail, "warp_cost": None, "report": None}
    short = {name: value for name, value in report.items() if name not in LEFT_OUT_OF_REPORTS}
    return {"refused": None, "warp_cost": speed_changes(report), "report": short}
