"""Music for a dance: the best songs by hybrid score, in the order of how well the dance warps onto them; the first
is rendered, the others come with the report that their plan foretells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mudar.library import analyses
from mudar.library.items import get_item
from mudar.library.search.search import Question, search
from mudar.progress import scaled
from workers.handlers.embed import embed_item
from workers.handlers.retarget import foretold, render

if TYPE_CHECKING:
    from mudar.retarget.settings import RetargetSettings
    from workers.executor import StepContext

TOO_LONG_TO_TELL = ("map_nodes", "onsets", "strokes")


def soundtrack(context: StepContext, params: dict[str, Any]) -> dict[str, Any]:
    """Result: that of a retargeting, with `music_id` and `songs`. RetargetRefused when no song will do."""
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
    made = render(context, (dance_id, music_id), rhythms, settings, scaled(context.progress, 0.4, 0.98))
    return {**made, "music_id": music_id, "songs": songs}


def _ranked(
    context: StepContext, dance_id: str, model: str, settings: RetargetSettings, params: dict[str, Any]
) -> list[dict[str, Any]]:
    """The k best songs, those that warp best first, refused ones last."""
    held = context.runtime
    with held.database.read() as session:
        item, segments = get_item(session, dance_id, model), analyses.segments(session, dance_id, model)
        dance = analyses.rhythm(session, dance_id, model)
    context.progress(0.3, "search")
    follower = held.follower(model, len(segments[0].embedding), len(segments[0].rhythm))
    found = search(held.database, follower, Question("dance", segments, int(params["k"]), float(params["lambda"])))
    songs = []
    for number, match in enumerate(found):
        context.progress(0.3 + 0.1 * number / len(found), "plan")
        with held.database.read() as session:
            music, about = analyses.rhythm(session, match["id"], model), get_item(session, match["id"], model)
        songs.append(match | _predicted(dance, item["info"], music, about["info"], settings))
    return sorted(songs, key=lambda song: (song["refused"] is not None, song["warp_cost"] or 0.0, -song["score"]))


def _predicted(dance: Any, dance_info: Any, music: Any, music_info: Any, settings: RetargetSettings) -> dict[str, Any]:
    """`speed_changes`, the predicted `report`, and why it would be `refused`, or None."""
    from mudar.errors import RetargetRefused
    from mudar.retarget.report.report import speed_changes

    try:
        report = foretold((dance, music), dance_info, music_info, settings)
    except RetargetRefused as refused:
        return {"refused": refused.detail, "warp_cost": None, "report": None}
    short = {name: value for name, value in report.items() if name not in TOO_LONG_TO_TELL}
    return {"refused": None, "warp_cost": speed_changes(report), "report": short}
