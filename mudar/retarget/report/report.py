"""Reports on a retargeting: what was promised, measured on the frames that were really shown.

All from `shown_s`, the source time that each output frame shows; the same functions foretell a report from the map
alone (dry run) and measure it after rendering. Knows no file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mudar.records import Rhythm
from mudar.retarget.events import Floats, stroke_anchors
from mudar.retarget.plan import Plan
from mudar.retarget.report.dance_kept import plan_keeps
from mudar.retarget.report.impact_detector import RenderObserver
from mudar.retarget.settings import RetargetSettings
from mudar.rhythm.metrics import beat_alignment, chance_level, hit_share

MAP_STEP_S = 0.1
LAGS = 8  # half frames to either side that a constant lag is looked for


def shown_at(shown_s: Floats, fps: float, source_s: Floats) -> Floats:
    """Returns the (N,) output seconds at which these source seconds are shown; NaN for those that never are.

    shown_s: (F,) source seconds each output frame shows, not descending. Between frames the crossing is
    interpolated; a frame shown several times counts by the middle of its run.
    """
    levels, first, counts = np.unique(np.round(shown_s, 6), return_index=True, return_counts=True)
    middle_s = (first + (counts - 1) / 2) / fps
    slack = 0.51 * float(np.median(np.diff(levels))) if len(levels) > 1 else 0.0
    moments = np.asarray(source_s, float)
    visible = (moments >= levels[0] - slack) & (moments <= levels[-1] + slack)
    return np.where(visible, np.interp(moments, levels, middle_s), np.nan)


def landing_errors_s(plan: Plan, shown_s: Floats, fps: float) -> Floats:
    """Returns the (K',) seconds by which the promised landings inside the output miss, as shown."""
    promised = plan.knots_output_s
    inside = (promised >= 0) & (promised <= (len(shown_s) - 1) / fps)
    landed = shown_at(shown_s, fps, plan.knots_source_s[inside])
    missed = np.abs(landed - promised[inside])
    return missed[np.isfinite(missed)]


def rhythm_report(plan: Plan, dance: Rhythm, music: Rhythm, shown_s: Floats, fps: float) -> dict[str, Any]:
    """Scores hits and alignment before, after and by chance. Before: the same cut of the dance at speed 1."""
    duration_s = len(shown_s) / fps
    all_strokes = np.unique(stroke_anchors(dance))
    before = all_strokes - float(shown_s[0])
    before = before[(before >= 0) & (before < duration_s)]
    after = shown_at(shown_s, fps, all_strokes)
    after = after[np.isfinite(after)]
    onsets, beats = (_inside(times, plan.offset_s, duration_s) for times in (music.times_s, music.beats_s))
    beats = beats if len(beats) else onsets

    hits, beat_hits = (partial(hit_share, points, tolerance_s=1 / fps) for points in (onsets, beats))
    scores: dict[str, Any] = {
        "onsets_hit": _three(hits, before, after, duration_s),
        "beats_hit": _three(beat_hits, before, after, duration_s),
        "beat_alignment": _three(partial(beat_alignment, beats), before, after, duration_s),
    }
    return scores | {"strokes": {"before_s": _rounded(before), "output_s": _rounded(after)}}


def independent_report(
    plan: Plan, music: Rhythm, shown_s: Floats, fps: float, observer: RenderObserver
) -> dict[str, Any]:
    """Scores the impacts of a detector that knows nothing of the plan (impact_detector.py).

    Impacts within a frame of the beats and of the promised landings, and the constant lag at which they would fit the
    beats best.
    """
    duration_s = len(shown_s) / fps
    before = observer.before.impacts().times_s - float(shown_s[0])
    before = before[(before >= 0) & (before < duration_s)]
    after = observer.after.impacts().times_s
    beats = _inside(music.beats_s if len(music.beats_s) else music.times_s, plan.offset_s, duration_s)
    landings = plan.knots_output_s[(plan.knots_output_s >= 0) & (plan.knots_output_s < duration_s)]
    beats_hit, lands_hit = (partial(hit_share, points, tolerance_s=1 / fps) for points in (beats, landings))
    lags_s = np.arange(-LAGS, LAGS + 1) / fps / 2
    lag_s = float(lags_s[np.argmax([beats_hit(after + lag) - 1e-6 * abs(lag) for lag in lags_s])])
    return {
        "independent": {
            "detector": "flow decelerations",
            "impacts": {"before": len(before), "after": len(after), "output_s": _rounded(after)},
            "beats_hit": _three(beats_hit, before, after, duration_s),
            "landings_hit": _three(lands_hit, before, after, duration_s),
            "best_lag_ms": round(1000 * lag_s, 1),
            "beats_hit_at_best_lag": round(beats_hit(after + lag_s), 4),
            "jerk_ratio": _jerk_ratio(observer),
        }
    }


def _jerk_ratio(observer: RenderObserver) -> float | None:
    """Returns how much more abruptly the picture moves than the source's, both over their own mean speed."""
    before, after = observer.before.jerk(), observer.after.jerk()
    return round(after / before, 4) if before and after else None


def _three(score: Callable[[Floats], float], before: Floats, after: Floats, duration_s: float) -> dict[str, float]:
    """Returns the score before, after, and by chance."""
    return {
        "before": round(score(before), 4),
        "after": round(score(after), 4),
        "chance": round(chance_level(score, after, duration_s), 4),
    }


def speed_changes(report: dict[str, Any]) -> float:
    """Sums how much a plan asks of a dance, to compare songs by: beats missed, source unused, speed changed."""
    missed, unused = 1 - report["beats_hit"]["after"], 1 - min(1.0, report["source_used"])
    swing = float(np.log(report["speed"]["p99"] / max(report["speed"]["p1"], 1e-3)))
    typical = abs(float(np.log(max(report["speed"]["p50"], 1e-3))))
    return round(missed + 0.5 * unused + 0.25 * swing + typical, 4)


def motion_report(plan: Plan, shown_s: Floats, fps: float, dance_duration_s: float) -> dict[str, Any]:
    """Reports landing error, speeds, source used, and the time map."""
    times = np.arange(len(shown_s)) / fps
    speeds = plan.time_map.speed(times)
    errors = landing_errors_s(plan, shown_s, fps) * 1000
    at = np.append(np.arange(0.0, times[-1], MAP_STEP_S), times[-1])
    return {
        "landing_error_ms": {
            f"p{q}": round(float(np.percentile(errors, q)), 2) if len(errors) else None for q in (50, 95)
        },
        "knots": len(errors),
        "speed": {f"p{q}": round(float(np.percentile(speeds, q)), 4) for q in (1, 50, 99)}
        | {"min": round(float(speeds.min()), 4), "max": round(float(speeds.max()), 4)},
        "source_used": round(float((shown_s[-1] - shown_s[0] + 1 / fps) / dance_duration_s), 4),
        "time_map": {"output_s": _rounded(at), "source_s": _rounded(plan.time_map.source_s(at))},
        "map_nodes": {
            "output_s": _rounded(plan.time_map.output_s, 6),
            "source_s": _rounded(plan.time_map.nodes_s, 6),
            "speed": _rounded(plan.time_map.slopes, 6),
        },
    }


def plan_report(plan: Plan, dance: Rhythm, music: Rhythm, settings: RetargetSettings) -> dict[str, Any]:
    """Reports what was chosen: method, accent, offset, tempi, landings."""
    ratio = music.tempo_bpm / dance.tempo_bpm if dance.tempo_bpm > 0 else None
    return {
        "method": plan.method,
        "accent": settings.accent_for(dance.source),
        "on": settings.on,
        "rhythm_from": dance.source,
        "dance_kept": plan_keeps(plan, dance, music),
        "interpolation": settings.interpolation,
        "offset_s": round(plan.offset_s, 4),
        "tempo": {
            "dance": round(float(dance.tempo_bpm), 2),
            "music": round(float(music.tempo_bpm), 2),
            "ratio": None if ratio is None else round(float(ratio), 4),
            "octave": plan.octave,
        },
        "speed_bounds": [b if np.isfinite(b) else None for b in settings.speed_bounds],
        "landings": {"output_s": _rounded(plan.knots_output_s), "source_s": _rounded(plan.knots_source_s)},
        "beats": {"output_s": _rounded(_inside(music.beats_s, plan.offset_s, plan.duration_s))},
        "onsets": {"output_s": _rounded(_inside(music.times_s, plan.offset_s, plan.duration_s))},
    }


def _rounded(seconds: Floats, digits: int = 4) -> list[float]:
    return [round(float(s), digits) for s in seconds]


def _inside(times_s: Any, offset_s: float, duration_s: float) -> Floats:
    output_s = np.asarray(times_s, float) - offset_s
    return np.asarray(output_s[(output_s >= 0) & (output_s < duration_s)])
