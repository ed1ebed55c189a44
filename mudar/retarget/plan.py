"""Plans the time map of a dance onto music, and the stretch of music it covers, from two rhythms. Touches no file.

Chooses the pattern of section 4.4, and for dtw the tempo octave; refuses with the nearest feasible settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mudar.errors import RetargetRefused
from mudar.records import Rhythm
from mudar.retarget.align.beats import align_beats
from mudar.retarget.align.dtw import AlignmentPath, Downbeats, Limits, align
from mudar.retarget.align.paper import acceleration, paper_dtw, shift
from mudar.retarget.events import (
    Events,
    Floats,
    fill_gaps,
    stroke_anchors,
    stroke_events,
    target_events,
    tempo_octaves,
    trust_strokes,
)
from mudar.retarget.settings import RetargetSettings
from mudar.retarget.warp.anchor_refinement import MIN_SALIENCY, STROKE_WIDTH_S, refine_anchors
from mudar.retarget.warp.saliency import MotionProfile
from mudar.retarget.warp.speed_optimization import optimize_speed
from mudar.retarget.warp.speed_ramps import apply_speed_ramps
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap, max_speed_step, time_map
from mudar.rhythm.metrics import distance_s

WIDER = ((0.6, 1.67), (0.5, 2.0), (0.4, 2.5), (0.33, 3.0), (0.25, 4.0))  # bounds tried for the hint of a refusal
MIN_LANDINGS = 3
MIN_COVERED = 0.4  # of the stretch that could be covered
SAFETY = 1e-6  # bounds are kept this much inside, against rounding
SHORTEST_S = 1.0
EDGE_S = 0.05  # a beat nearer than this to either end of the picture has nothing before or after it
TARGET_WORDS = {"beats": "beat", "onsets": "onset", "downbeats": "downbeat", "every_nth": "beat to land on"}
LONG_NODES = 60_000  # strokes x targets above which the octave is chosen on an excerpt
EXCERPT_S = 40.0


@dataclass(frozen=True)
class Plan:
    """Describes what will be rendered. Output time 0 is music time `offset_s`; the map counts output time.

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
        """Returns (K,) output seconds at which the knots should land; some may lie outside the output."""
        return self.knots_music_s - self.offset_s


@dataclass(frozen=True)
class _Knots:
    """Holds (K,) pairs of music and source seconds, and which of them are promised as landings."""

    music_s: Floats
    source_s: Floats
    landing: np.ndarray
    octave: float = 1.0
    gain: float = 0.0


@dataclass(frozen=True)
class _Task:
    """Everything that a plan is made of: both rhythms with their lengths, the events on both sides, the settings."""

    dance: Rhythm
    dance_s: float
    music: Rhythm
    music_s: float
    strokes: Events
    targets: Events
    settings: RetargetSettings

    @property
    def limits(self) -> SpeedLimits:
        """Returns the bounds and the accent of the map; for dtw a hair inside the bounds, against rounding."""
        low, high = self.settings.speed_bounds
        if self.settings.method == "dtw":
            low, high = low * (1 + SAFETY / 2), high * (1 - SAFETY / 2)
        return SpeedLimits((low, high), self.settings.accent_for(self.dance.source))

    def overlap(self, warp: TimeMap) -> tuple[float, float]:
        """Returns the music seconds between which there is picture."""
        start, end = (float(t) for t in warp.at_source(np.array([0.0, self.dance_s])))
        return max(start, self.settings.music_start_s, 0.0), min(end, self.music_s)


def plan(
    dance: Rhythm, dance_duration_s: float, music: Rhythm, music_duration_s: float, settings: RetargetSettings
) -> Plan:
    """Plans the time map of this dance onto this music.

    Raises RetargetRefused, with what would do in its hint, when no acceptable warp exists.
    """
    events = stroke_events(dance), target_events(music, settings)
    task = _Task(dance, dance_duration_s, music, music_duration_s, *events, settings)
    if settings.method == "shift":
        start_s = settings.music_start_s
        later_s = task.targets.times_s - start_s
        at, source = shift(task.strokes.times_s, task.dance_s, later_s, task.music_s - start_s)
        knots = _Knots(at + start_s, source, np.ones(1, bool))
        return _crop(time_map(knots.music_s, knots.source_s, (1.0, 1.0)), knots, task)
    knots = _align_beats(task) or _align(task)
    warp = time_map(knots.music_s, knots.source_s, task.limits.bounds)
    if settings.method == "dtw" and len(dance.speed) and not trust_strokes(dance):
        return _crop(*_refine(warp, knots, task), task)
    return _crop(_accentuate(warp, knots, task), knots, task)


def _accentuate(plain: TimeMap, knots: _Knots, task: _Task) -> TimeMap:
    """Accents the map at its landings, and at the points of the music that no stroke was matched with."""
    if task.limits.accent <= 0:
        return plain
    finer = plain.with_nodes(task.targets.times_s)
    accented = np.isin(finer.output_s, np.concatenate([knots.music_s[knots.landing], task.targets.times_s]))
    return apply_speed_ramps(finer, accented, task.limits)


def _refine(warp: TimeMap, knots: _Knots, task: _Task) -> tuple[TimeMap, _Knots]:
    """Moves the knots to where the picture looks like an impact, and optimizes the speed between them.

    Where that fails, the map is only accented. The points of the music between those that the chain met at a double
    tempo are no longer promised.
    """
    start, end = task.overlap(warp)
    beats_s = task.targets.times_s
    beats_s = beats_s[(beats_s >= start + EDGE_S) & (beats_s <= end - EDGE_S)]
    profile = MotionProfile(np.asarray(task.dance.speed, float), task.dance.speed_fps, stroke_anchors(task.dance))
    anchors = refine_anchors(warp, beats_s, profile, task.limits)
    if anchors is None:
        return _accentuate(warp, knots, task), knots
    warp, source_s, saliency = anchors.warp, anchors.source_s, anchors.saliency
    knots = replace(knots, music_s=anchors.music_s, source_s=source_s, landing=np.ones(len(source_s), bool))
    if task.limits.accent > 0:
        accented = _accentuate(warp, knots, task)
        span_s = task.overlap(accented)
        optimized = optimize_speed(accented, warp, span_s, anchors.music_s, profile, task.limits)
        warp, source_s = optimized.warp, optimized.warp.source_s(anchors.music_s)
        saliency = np.where(np.isnan(optimized.saliency), saliency, optimized.saliency)
    landing = (saliency >= MIN_SALIENCY) | (distance_s(source_s, profile.strokes_s) <= STROKE_WIDTH_S)
    return warp, replace(knots, source_s=source_s, landing=landing)


def _align_beats(task: _Task) -> _Knots | None:
    """Pairs beat with beat where the dance's own sound tells its beats; None where another way must be taken."""
    dance, music, settings = task.dance, task.music, task.settings
    if settings.method != "dtw" or dance.source != "sound" or settings.on == "onsets" or len(music.beats_s) < 2:
        return None
    beats = target_events(music, replace(settings, on="beats"))
    own = Events(np.asarray(dance.beats_s, np.float64), np.ones(len(dance.beats_s)))
    downbeats = Downbeats(np.asarray(dance.downbeats_s, np.float64), np.asarray(music.downbeats_s, np.float64))
    pairs = align_beats(own, tempo_octaves(beats, "beats"), downbeats, task.limits.bounds)
    if pairs is None:
        return None
    return _Knots(pairs.music_s, pairs.source_s, pairs.landing, pairs.octave, pairs.gain)


def _align(task: _Task) -> _Knots:
    """Matches strokes with targets by the method of the settings."""
    if task.settings.method == "dtw":
        return _align_dtw(task)
    if task.settings.method == "acceleration":
        at, source = acceleration(task.strokes.times_s, task.targets.times_s, *task.settings.speed_bounds)
    else:
        at, source = paper_dtw(task.strokes.times_s, task.targets.times_s)
    return _Knots(at, source, np.ones(len(at), bool))


def _align_dtw(task: _Task) -> _Knots:
    """Finds the best chain over the tempo octaves; refuses when none is acceptable."""
    strokes, targets = len(task.strokes), len(task.targets)
    if min(strokes, targets) < 2:
        have = f"{_count(strokes, 'stroke')} and the music {_count(targets, TARGET_WORDS[task.settings.on])}"
        raise RetargetRefused(
            f"The dance has {have}; a warp needs two of each.",
            hint="Use method shift, or take another clip or song.",
        )
    low, high = task.settings.speed_bounds
    knots = _best_chain(task, (low, high))
    if knots is not None:
        return knots
    detail = f"No warp within speeds {low:g} to {high:g} lets {MIN_LANDINGS} or more strokes land and covers enough."
    for lower, higher in WIDER:
        if lower < low or higher > high:
            wider = min(lower, low), max(higher, high)
            if _best_chain(task, wider) is not None:
                raise RetargetRefused(detail, hint=f"min_speed={wider[0]:g}, max_speed={wider[1]:g} would do.")
    raise RetargetRefused(detail, hint="No speeds would do: use method shift, or take another clip or song.")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _best_chain(task: _Task, bounds: tuple[float, float]) -> _Knots | None:
    """Returns the chain of the highest gain over the octaves, or None when none is acceptable."""
    low, high = bounds[0] * (1 + SAFETY), bounds[1] * (1 - SAFETY)
    downbeats = Downbeats(np.asarray(task.dance.downbeats_s, float), np.asarray(task.music.downbeats_s, float))
    best: _Knots | None = None
    source = fill_gaps(task.strokes)
    for octave, level in _levels(source, task.targets, task.settings.on, low, high):
        goal = fill_gaps(level)
        chain = align(source, goal, _limits(source, goal, low, high), downbeats=downbeats)
        landing = source.real[chain.strokes] & goal.real[chain.targets]
        if (best is None or chain.gain > best.gain + 1e-9) and _acceptable(source, goal, chain, landing):
            at, shown = goal.times_s[chain.targets], source.times_s[chain.strokes]
            best = _Knots(at, shown, landing, octave, chain.gain)
            if len(source) * len(task.targets) > LONG_NODES:
                break  # the levels came best first
    return best


def _levels(source: Events, targets: Events, on: str, low: float, high: float) -> list[tuple[float, Events]]:
    """Lists the octaves to try; for long media best first, as judged on a minute from the middle."""
    levels = list(tempo_octaves(targets, on))
    if len(source) * len(targets) <= LONG_NODES:
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
    """Derives how far an edge may reach from the typical intervals: the sparser side need skip little."""
    ratio = float(np.median(np.diff(goal.times_s)) / np.median(np.diff(source.times_s)))  # strokes a target
    reach = [int(np.clip(np.ceil(1.5 * r) + 1, 2, 8)) for r in (ratio, 1 / ratio)]
    return Limits(low, high, max_speed_step(low, high) * (1 - SAFETY), *reach)


def _acceptable(source: Events, goal: Events, chain: AlignmentPath, landing: np.ndarray) -> bool:
    if int(landing.sum()) < min(MIN_LANDINGS, len(source), len(goal)) or len(chain.strokes) < 2:
        return False
    covered = goal.times_s[chain.targets[-1]] - goal.times_s[chain.targets[0]]
    possible = min(np.ptp(source.times_s), np.ptp(goal.times_s))
    return bool(covered >= MIN_COVERED * possible)


def _crop(warp: TimeMap, knots: _Knots, task: _Task) -> Plan:
    """Takes the stretch of music for which there is picture, cut to `max_duration_s` where most strokes land."""
    start, end = task.overlap(warp)
    landings = knots.music_s[knots.landing]
    longest = task.settings.max_duration_s
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
        method=task.settings.method,
        time_map=warp.shifted(start),
        offset_s=start,
        duration_s=end - start,
        knots_music_s=landings,
        knots_source_s=knots.source_s[knots.landing],
        octave=knots.octave,
        gain=knots.gain,
    )
