"""Retargets a dance onto music: plans the warp, renders it, reports what the frames show. Section 4.4 as a whole."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from mudar.media.interpolation.flow import DisFlow, PairFlow
from mudar.media.render.encode import track_durations_s
from mudar.media.render.render import Renderer, RenderResult, RenderSettings
from mudar.media.render.resample import snap_to_frames
from mudar.progress import Progress, ignore, scaled
from mudar.records import Rhythm
from mudar.retarget.plan import Plan, plan
from mudar.retarget.render_subprocess import LARGE_PIXELS, RenderTask, render_in_subprocess
from mudar.retarget.report.impact_detector import RenderObserver
from mudar.retarget.report.report import independent_report, motion_report, plan_report, rhythm_report
from mudar.retarget.settings import RetargetSettings
from mudar.retarget.warp.time_map import TimeMap
from mudar.rhythm.annotation import resolve


@dataclass(frozen=True)
class AnalyzedFile:
    """Names a media file and its rhythm, as `Embedder` gives it or a person has edited it."""

    path: str | Path
    rhythm: Rhythm


@dataclass(frozen=True)
class Result:
    """Holds the report (JSON-able), the map from output to source time, and the output's length."""

    report: dict[str, Any]
    time_map: TimeMap
    duration_s: float


def retarget(
    dance: AnalyzedFile,
    music: AnalyzedFile,
    out_path: str | Path,
    settings: RetargetSettings | None = None,
    progress: Progress = ignore,
    flow: PairFlow | None = None,
) -> Result:
    """Renders the dance onto the music as `out_path`, and reports how well it lands.

    flow: who estimates it, if frames are made by flow. Raises RetargetRefused when no acceptable warp exists, errors of
    the media, and whatever `progress` raises; then no file is left behind.

    >>> retarget(AnalyzedFile("dance.mp4", dance), AnalyzedFile("song.wav", song), "out.mp4").duration_s > 1
    True
    """
    settings = settings or RetargetSettings()
    dance = replace(dance, rhythm=resolve(dance.rhythm, settings.rhythm_from))
    started = time.perf_counter()
    progress(0.0, "plan")
    renderer = Renderer(dance.path, music.path, _render_settings(settings), flow)
    chosen = plan(dance.rhythm, renderer.dance_duration_s, music.rhythm, renderer.music_duration_s, settings)
    planned = time.perf_counter()
    rendered, observer = _render(renderer, out_path, chosen, settings.verify, scaled(progress, 0.02, 0.98))
    wall = time.perf_counter()
    report = (
        plan_report(chosen, dance.rhythm, music.rhythm, settings)
        | rhythm_report(chosen, dance.rhythm, music.rhythm, rendered.shown_s, rendered.fps)
        | motion_report(chosen, rendered.shown_s, rendered.fps, renderer.dance_duration_s)
        | (independent_report(chosen, music.rhythm, rendered.shown_s, rendered.fps, observer) if observer else {})
        | _render_report(rendered, out_path)
    )
    report["stage_s"] = {
        "plan": round(planned - started, 4),
        "render": round(wall - planned, 4),
        **{name: round(seconds, 4) for name, seconds in rendered.stage_s.items()},
        "report": round(time.perf_counter() - wall, 4),
    }
    progress(1.0, "done")
    return Result(report, chosen.time_map, rendered.duration_s)


def _render_report(rendered: RenderResult, out_path: str | Path) -> dict[str, Any]:
    """Returns what the report says of the file itself."""
    video_s, audio_s = track_durations_s(out_path)
    return {
        "duplicate_share": round(float(rendered.duplicate.mean()), 4),
        "interpolated_share": round(float(rendered.interpolated.mean()), 4),
        "av_length_difference_ms": round(abs(video_s - audio_s) * 1000, 3),
        "frames": len(rendered.shown_s),
        "fps": round(rendered.fps, 6),
        "width": rendered.width,
        "height": rendered.height,
        "encoder": rendered.encoder,
        "notes": list(rendered.notes),
        "duration_s": round(rendered.duration_s, 4),
    }


def _render(
    renderer: Renderer, out_path: str | Path, chosen: Plan, verify: bool, progress: Progress
) -> tuple[RenderResult, RenderObserver | None]:
    """Renders here, or a large picture in a process of its own, unless its flow is on a device that this one holds."""
    times = chosen.time_map, chosen.offset_s, chosen.duration_s
    flow = renderer.flow
    if renderer.video.width * renderer.video.height > LARGE_PIXELS and isinstance(flow, DisFlow | None):
        files = str(renderer.dance_path), str(renderer.music_path), str(Path(out_path).absolute())
        rendered, observer = render_in_subprocess(RenderTask(*files, renderer.settings, *times, verify), progress)
        return replace(rendered, notes=rendered.notes + (flow.notes if flow is not None else ())), observer
    observer = RenderObserver() if verify else None
    rendered = renderer.render(
        out_path,
        chosen.time_map.source_s,
        offset_s=chosen.offset_s,
        duration_s=chosen.duration_s,
        observer=observer,
        progress=progress,
    )
    return rendered, observer


def dry_run(
    dance: Rhythm, dance_s: float, music: Rhythm, music_s: float, fps: float, settings: RetargetSettings
) -> tuple[Plan, dict[str, Any]]:
    """Plans, and foretells the report at this frame rate, without rendering. Raises RetargetRefused as `plan` does."""
    dance = resolve(dance, settings.rhythm_from)
    chosen = plan(dance, dance_s, music, music_s, settings)
    shown, _ = snap_to_frames(chosen.time_map.source_s(np.arange(max(1, int(chosen.duration_s * fps))) / fps), fps)
    if settings.interpolation == "nearest":
        shown = np.round(shown * fps) / fps
    report = (
        plan_report(chosen, dance, music, settings)
        | rhythm_report(chosen, dance, music, shown, fps)
        | motion_report(chosen, shown, fps, dance_s)
    )
    return chosen, report | {"duration_s": round(chosen.duration_s, 4), "fps": round(fps, 6), "dry_run": True}


def _render_settings(settings: RetargetSettings) -> RenderSettings:
    names = [field.name for field in fields(RenderSettings)]
    return RenderSettings(**{name: getattr(settings, name) for name in names})
