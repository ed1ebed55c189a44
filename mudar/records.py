"""Defines what the core returns: plain records of numpy arrays. Light: no torch, no web, no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["dance", "music"]
RhythmSource = Literal["sound", "picture"]
RhythmFrom = Literal["auto", "sound", "picture"]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class SoundRhythm:
    """Describes the beats of a clip's own sound, and how sure it is that the dance follows them.

    beats_s: (M,) ascending seconds on the clock of the picture; downbeats_s: (K,), may be empty. confidence: 0..1 that
    the sound is what is danced to (rhythm/own_sound.py). reason: why, as a sentence for the user.
    """

    beats_s: Array
    downbeats_s: Array
    tempo_bpm: float
    confidence: float
    reason: str


@dataclass(frozen=True)
class Rhythm:
    """Says when the strokes of a dance, or the onsets of music, fall.

    times_s: (N,) ascending seconds. strengths: (N,) in 0..1. curve: (T,) in 0..1 at `fps`, frame t at t/fps.
    tempo_bpm: best guess; tempo_alternatives: (bpm, weight) pairs, best first, among x1/2, x1, x2.
    beats_s: (M,) seconds, the regular grid under the points; downbeats_s: (K,) seconds, may be empty.
    peaks_s, peak_strengths: (P,) the network's own strokes, if `times_s` are the beats of the beat filter
    (rhythm/postprocessing.py); else empty.
    impacts_s: (I,) seconds at which a dancer's body visibly brakes, may be empty; music has none.
    speed: (J, 4) mean speed of the picture without the camera's, in picture sides a second, to the right, down, left
    and up, sample j from j/speed_fps to (j + 1)/speed_fps; may be empty; music has none.
    source: what the points of a dance come from: its picture or its sound. picture: the points that the picture gives,
    where the sound's stand in their place; sound: the beats of its own sound, if it has one with beats.
    `annotation.resolve` changes between them.

    >>> song = Rhythm(np.array([0.5, 1.0]), np.ones(2), np.zeros(15), fps=15.0, tempo_bpm=120.0)
    >>> len(song.beats_s)
    0
    """

    times_s: Array
    strengths: Array
    curve: Array
    fps: float
    tempo_bpm: float
    tempo_alternatives: tuple[tuple[float, float], ...] = ()
    beats_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    downbeats_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    impacts_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    speed: Array = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    speed_fps: float = 0.0
    peaks_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    peak_strengths: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    sound: SoundRhythm | None = None
    source: RhythmSource = "picture"
    picture: Rhythm | None = None

    @property
    def total_speed(self) -> Array:
        """Sums `speed` over the directions: (J,)."""
        return self.speed.sum(axis=1)


# What of a Rhythm an edit may change: strokes with what would move them, and beats with what follows from them.
STROKE_FIELDS = ("times_s", "strengths", "impacts_s", "peaks_s", "peak_strengths", "source", "picture")
BEAT_FIELDS = ("beats_s", "downbeats_s", "tempo_bpm")


@dataclass(frozen=True)
class Segment:
    """Describes one window of an item by its embedding (E,) and rhythm vector (R,), of L2 norm 1 or all zero."""

    start_s: float
    end_s: float
    embedding: Array
    rhythm: Array


@dataclass(frozen=True)
class Analysis:
    """Holds everything that embedding a file gives."""

    kind: Kind
    duration_s: float
    model: str
    rhythm: Rhythm
    segments: tuple[Segment, ...]
    stage_s: dict[str, float] = field(default_factory=dict)  # seconds spent in each stage
