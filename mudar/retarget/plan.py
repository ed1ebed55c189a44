"""From two rhythms to a time map and the stretch of music it covers: no file is touched here.

Chooses the pattern of section 4.4, and for dtw the tempo octave; refuses with the nearest feasible settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mudar.errors import RetargetRefused
from mudar.records import Rhythm
from mudar.retarget.align.acceleration import acceleration
from mudar.retarget.align.dtw import AlignmentPath, Bars, Limits, align
from mudar.retarget.align.paper import paper_dtw
from mudar.retarget.align.shift import shift
from mudar.retarget.events import (
    Events,
    Floats,
    fill_gaps,
    stroke_anchors,
    strokes,
    targets,
    tempo_octaves,
    trust_strokes,
)
from mudar.retarget.settings import RetargetSettings
from mudar.retarget.warp.anchor_refinement import SEEN, STROKE_WIDTH_S, refine_anchors
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.speed_optimization import optimize_speed
from mudar.retarget.warp.speed_ramps import apply_speed_ramps
from mudar.retarget.warp.time_map import TimeMap, max_speed_step, time_map
from mudar.rhythm.metrics import distance_s

WIDER = ((0.6, 1.67), (0.5, 2.0), (0.4, 2.5), (0.33, 3.0), (0.25, 4.0))  # bounds tried for the hint of a refusal
MIN_LANDINGS = 3
MIN_COVERED = 0.4  # of the stretch that could be covered
SAFETY = 1e-6  # bounds are kept this much inside, against rounding
SHORTEST_S = 1.0
EDGE_S = 0.05  # a beat nearer than this to either end of the picture has nothing before or after it
LONG_NODES = 60_000  # strokes x targets above which the octave is chosen on an excerpt
EXCERPT_S = 40.0


@dataclass(frozen=True)
class Plan:
    """What will be rendered. Output time 0 is music time `offset_s`; the map counts output time.

    knots_music_s, knots_source_s: (K,) promised landings, music and source seconds. octave: of the targets' tempo.
    """

    method: str
    time_map: TimeMap
    offset_s: float
    duration_s: float
    knots_music_s: Floats
    knots_source_s: Floats
    octave: float
    gain: float

    @property
    def knots_output_s(self) -> Floats:
        """(K,) output seconds at which the knots should land; some may lie outside the output."""
        return self.knots_music_s - self.offset_s


@dataclass(frozen=True)
class _Knots:
    music_s: Floats
    source_s: Floats
    landing: np.ndarray
    octave: float = 1.0
    gain: float = 0.0


def plan(
    dance: Rhythm, dance_duration_s: float, music: Rhythm, music_duration_s: float, settings: RetargetSettings
) -> Plan:
    """The time map of this dance onto this music.

    Raises RetargetRefused, with what would do in its hint, when no acceptable warp exists.
    """
    given, wanted = strokes(dance), targets(music, settings)
    bounds = settings.speed_bounds
    if settings.method == "shift":
        music_left_s = music_duration_s - settings.music_start_s
        later = wanted.times_s - settings.music_start_s
        at, source = shift(given.times_s, dance_duration_s, later, music_left_s)
        knots = _Knots(at + settings.music_start_s, source, np.ones(1, bool))
        warp = time_map(knots.music_s, knots.source_s, (1.0, 1.0))
    else:
        bars = Bars(np.asarray(dance.downbeats_s, float), np.asarray(music.downbeats_s, float))
        knots = _knots(given, wanted, bars, settings)
        if settings.method == "dtw":
            bounds = bounds[0] * (1 + SAFETY / 2), bounds[1] * (1 - SAFETY / 2)
        warp = time_map(knots.music_s, knots.source_s, bounds)
        if settings.method == "dtw" and len(dance.speed) and not trust_strokes(dance):
            warp, knots = _settled(warp, knots, wanted, dance, (dance_duration_s, music_duration_s), settings, bounds)
        else:
            warp = _eased(warp, knots, wanted, bounds, settings.accent)
    return _fitted(warp, knots, dance_duration_s, music_duration_s, settings)


def _eased(plain: TimeMap, knots: _Knots, wanted: Events, bounds: tuple[float, float], accent: float) -> TimeMap:
    """The map accented at its landings, and at the points of the music that no stroke was found for."""
    if accent <= 0:
        return plain
    finer = plain.with_nodes(wanted.times_s)
    heard = np.isin(finer.output_s, np.concatenate([knots.music_s[knots.landing], wanted.times_s]))
    return apply_speed_ramps(finer, accent, heard, bounds)


def _settled(
    warp: TimeMap,
    knots: _Knots,
    wanted: Events,
    dance: Rhythm,
    lengths_s: tuple[float, float],
    settings: RetargetSettings,
    bounds: tuple[float, float],
) -> tuple[TimeMap, _Knots]:
    """The accented map and its knots moved to where the picture will be seen to strike (settle.py, polish.py); only
    accented where that fails.

    The points of the music between those that the chain met at a double tempo are no longer promised.
    """
    start, end = _overlap(warp, *lengths_s, settings.music_start_s)
    inside = wanted.times_s[(wanted.times_s >= start + EDGE_S) & (wanted.times_s <= end - EDGE_S)]
    strokes_s, picture = stroke_anchors(dance), MotionProfile(np.asarray(dance.speed, float), dance.speed_fps)
    found = refine_anchors(warp, inside, picture, strokes_s, settings.accent, bounds)
    if found is None:
        return _eased(warp, knots, wanted, bounds, settings.accent), knots
    plain, source_s, seen = found.warp, found.source_s, found.blows
    warp = plain
    if settings.accent > 0:
        knots = _Knots(found.music_s, source_s, np.ones(len(source_s), bool), knots.octave, knots.gain)
        eased = _eased(plain, knots, wanted, bounds, settings.accent)
        span_s = _overlap(eased, *lengths_s, settings.music_start_s)
        done = optimize_speed(eased, plain, span_s, found.music_s, picture, strokes_s, settings.accent, bounds)
        warp, source_s = done.warp, done.warp.source_s(found.music_s)
        seen = np.where(np.isnan(done.seen), seen, done.seen)
    landing = (seen >= SEEN) | (distance_s(source_s, strokes_s) <= STROKE_WIDTH_S)
    return warp, _Knots(found.music_s, source_s, landing, knots.octave, knots.gain)


def _knots(given: Events, wanted: Events, bars: Bars, settings: RetargetSettings) -> _Knots:
    if settings.method == "dtw":
        return _warped(given, wanted, bars, settings)
    if settings.method == "acceleration":
        at, source = acceleration(given.times_s, wanted.times_s, *settings.speed_bounds)
    else:
        at, source = paper_dtw(given.times_s, wanted.times_s)
    return _Knots(at, source, np.ones(len(at), bool))


def _warped(given: Events, wanted: Events, bars: Bars, settings: RetargetSettings) -> _Knots:
    """The best chain over the tempo octaves; refuses when none is acceptable."""
    if min(len(given), len(wanted)) < 2:
        raise RetargetRefused(
            f"The dance has {len(given)} strokes and the music {len(wanted)} {settings.on}; a warp needs two of each.",
            hint="Use method shift, or take another clip or song.",
        )
    low, high = settings.speed_bounds
    found = _best_chain(given, wanted, bars, settings, (low, high))
    if found is not None:
        return found
    detail = f"No warp within speeds {low:g} to {high:g} lets {MIN_LANDINGS} or more strokes land and covers enough."
    for lower, higher in WIDER:
        if lower < low or higher > high:
            wider = min(lower, low), max(higher, high)
            if _best_chain(given, wanted, bars, settings, wider) is not None:
                raise RetargetRefused(detail, hint=f"min_speed={wider[0]:g}, max_speed={wider[1]:g} would do.")
    raise RetargetRefused(detail, hint="No speeds would do: use method shift, or take another clip or song.")


def _best_chain(
    given: Events, wanted: Events, bars: Bars, settings: RetargetSettings, bounds: tuple[float, float]
) -> _Knots | None:
    """The chain of the highest gain over the octaves, or None when none is acceptable."""
    low, high = bounds[0] * (1 + SAFETY), bounds[1] * (1 - SAFETY)
    best: _Knots | None = None
    source = fill_gaps(given)
    for octave, level in _levels(source, wanted, settings.on, low, high):
        goal = fill_gaps(level)
        chain = align(source, goal, _limits(source, goal, low, high), bars=bars)
        landing = source.real[chain.strokes] & goal.real[chain.targets]
        if (best is None or chain.gain > best.gain + 1e-9) and _acceptable(source, goal, chain, landing):
            at, shown = goal.times_s[chain.targets], source.times_s[chain.strokes]
            best = _Knots(at, shown, landing, octave, chain.gain)
            if len(source) * len(wanted) > LONG_NODES:
                break  # the levels came best first
    return best


def _levels(source: Events, wanted: Events, on: str, low: float, high: float) -> list[tuple[float, Events]]:
    """The octaves to try; for long media best first, as judged on a minute from the middle."""
    levels = list(tempo_octaves(wanted, on))
    if len(source) * len(wanted) <= LONG_NODES:
        return levels
    excerpt = _middle(source, EXCERPT_S)

    def gain(level: tuple[float, Events]) -> float:
        goal = _middle(fill_gaps(level[1]), EXCERPT_S * 1.5)
        return align(excerpt, goal, _limits(excerpt, goal, low, high)).gain

    return sorted(levels, key=gain, reverse=True)


def _middle(points: Events, length_s: float) -> Events:
    centre = (points.times_s[0] + points.times_s[-1]) / 2
    inside = np.abs(points.times_s - centre) <= length_s / 2
    return Events(points.times_s[inside], points.strengths[inside]) if inside.sum() >= 3 else points


def _limits(source: Events, goal: Events, low: float, high: float) -> Limits:
    """How far an edge may reach follows from the typical intervals: the sparser side need skip little."""
    ratio = float(np.median(np.diff(goal.times_s)) / np.median(np.diff(source.times_s)))  # strokes a target
    reach = [int(np.clip(np.ceil(1.5 * r) + 1, 2, 8)) for r in (ratio, 1 / ratio)]
    return Limits(low, high, max_speed_step(low, high) * (1 - SAFETY), *reach)


def _acceptable(source: Events, goal: Events, chain: AlignmentPath, landing: np.ndarray) -> bool:
    if int(landing.sum()) < min(MIN_LANDINGS, len(source), len(goal)) or len(chain.strokes) < 2:
        return False
    covered = goal.times_s[chain.targets[-1]] - goal.times_s[chain.targets[0]]
    possible = min(np.ptp(source.times_s), np.ptp(goal.times_s))
    return bool(covered >= MIN_COVERED * possible)


def _fitted(warp: TimeMap, knots: _Knots, dance_s: float, music_s: float, settings: RetargetSettings) -> Plan:
    """The stretch of music for which there is picture, cut to `max_duration_s` where most strokes land."""
    start, end = _overlap(warp, dance_s, music_s, settings.music_start_s)
    landings = knots.music_s[knots.landing]
    longest = settings.max_duration_s
    if longest is not None and end - start > longest:
        starts = np.append(np.arange(start, end - longest, 0.5), end - longest)
        counts = np.searchsorted(landings, starts + longest) - np.searchsorted(landings, starts)
        start = float(starts[np.argmax(counts)])
        end = start + longest
    if end - start < SHORTEST_S:
        raise RetargetRefused(
            f"Only {max(end - start, 0):.2f} s of the dance and the music overlap.", hint="Take another clip or song."
        )
    return Plan(
        method=settings.method,
        time_map=warp.shifted(start),
        offset_s=start,
        duration_s=end - start,
        knots_music_s=landings,
        knots_source_s=knots.source_s[knots.landing],
        octave=knots.octave,
        gain=knots.gain,
    )


def _overlap(warp: TimeMap, dance_s: float, music_s: float, music_start_s: float) -> tuple[float, float]:
    """Music seconds between which there is picture."""
    start, end = (float(t) for t in warp.at_source(np.array([0.0, dance_s])))
    return max(start, music_start_s, 0.0), min(end, music_s)
