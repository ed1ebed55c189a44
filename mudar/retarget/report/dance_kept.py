"""Measures how much of a dance's relation to the beat a warp keeps.

A dancer does something at each place in the beat: sinks on it, strikes after it. That relation is the projection of
the motion on the phase of the beat. The warped dance has one too, on the phase of the new song's beats. No file.

Shapes: J samples of motion in D directions; B beats; H harmonics of the beat.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mudar.records import Rhythm
from mudar.retarget.events import rhythm_events, tempo_octaves
from mudar.retarget.plan import Plan
from mudar.retarget.warp.time_map import TimeMap
from mudar.rhythm.metrics import distance_s
from mudar.rhythm.own_sound import beat_phase

HARMONICS: Final = (1, 2)  # of the beat: finer detail is noise in a clip of a few bars
SHIFTS: Final = 8  # of the song's beats, for chance
RATE_HZ: Final = 60.0
FEWEST_BEATS: Final = 4

Floats = NDArray[np.float64]


def plan_keeps(plan: Plan, dance: Rhythm, music: Rhythm) -> dict[str, float] | None:
    """Gives `kept` and `chance` of a plan for its report; None where the dance has no sound whose beats are known."""
    beats = rhythm_events(music.beats_s, min_gap_s=0.0)
    levels = [level for octave, level in tempo_octaves(beats, "beats") if octave == plan.octave and len(level)]
    if dance.sound is None or not levels or not len(plan.knots_music_s):
        return None
    met = min(levels, key=lambda level: float(np.median(distance_s(plan.knots_music_s, level.times_s))))
    song_beats_s = met.times_s - plan.offset_s
    measured = dance_kept(dance.speed, dance.speed_fps, dance.sound.beats_s, plan.time_map, song_beats_s)
    return None if measured is None else {"kept": round(measured[0], 4), "chance": round(measured[1], 4)}


def dance_kept(
    motion: ArrayLike, motion_fps: float, dance_beats_s: ArrayLike, warp: TimeMap, song_beats_s: ArrayLike
) -> tuple[float, float] | None:
    """Gives how much of the relation of motion to beat is kept, and what shifted beats of the song would give.

    motion (J, D) at `motion_fps` and dance_beats_s (B,) are of the source; song_beats_s (B',) count output seconds.
    1 = the same movement at the same place in the beat, 0 = no relation. None with fewer than 4 beats in either, or
    with no motion: nothing can be said.
    """
    rows = np.asarray(motion, np.float64)
    source_beats, output_beats = np.asarray(dance_beats_s, np.float64), np.asarray(song_beats_s, np.float64)
    end_s = float(warp.output_s[-1])
    inside = output_beats[(output_beats >= warp.output_s[0] - 1.0) & (output_beats <= end_s + 1.0)]
    if min(len(source_beats), len(inside)) < FEWEST_BEATS or len(rows) < 2:
        return None
    rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-9)
    times_s = (np.arange(len(rows)) + 0.5) / motion_fps
    before = beat_projection(rows, beat_phase(np.asarray(times_s, np.float64), source_beats))
    output_s = np.arange(float(warp.output_s[0]), end_s, 1 / RATE_HZ, dtype=np.float64)
    source_s: Floats = np.asarray(warp.source_s(output_s), np.float64)
    shown = (source_s >= 0) & (source_s <= times_s[-1])
    warped = np.stack([np.interp(source_s[shown], times_s, column) for column in rows.T], axis=1)
    phase = beat_phase(output_s[shown], inside)
    share, *shifted = (
        float(np.real(np.vdot(before, beat_projection(warped, phase + shift))) / (np.sum(np.abs(before) ** 2) + 1e-12))
        for shift in np.arange(SHIFTS) / SHIFTS
    )
    return share, float(np.mean(shifted))


def beat_projection(rows: Floats, phase: Floats) -> NDArray[np.complex128]:
    """Gives the mean (H, D) of rows (J, D) times the unit circle at each harmonic of their phase in beats (J,)."""
    circle = np.exp(-2j * np.pi * np.outer(HARMONICS, phase))
    return np.asarray(circle @ (rows - rows.mean(axis=0)) / max(len(rows), 1))
