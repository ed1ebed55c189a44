"""Turns the rhythm curves of a dance into its strokes, tempo and beats, for training and for the Embedder.

There are two ways. Where the network is sure of each stroke (motion like that which it learnt from), its peaks are the
strokes. Where it is not, single peaks mean little, but beats repeat: the chain of evenly spaced moments that fits the
beat filter's curve best says more than any of its peaks (docs/experiments/BEATS.md has both). Knows no files, no
network.

Shapes: T frames; H rhythm heads; F the beat filter's heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mudar.model.config import FILTER_HEADS, ModelConfig
from mudar.records import Array
from mudar.rhythm.peaks import strokes_from_curve
from mudar.rhythm.tempo import bar_starts, tempo, track_beats

# Median height of the network's peaks over their surroundings: generated dancers .72-.89, real ones .28-.51.
MIN_CONFIDENCE = 0.575
_USUAL_OCTAVES = 0.25  # a filter's curve repeats weakly, and at any tempo: an unusual one needs more evidence
_TIGHTNESS = 400.0  # and its peaks scatter: the chain stays straighter than for a curve that is sure


@dataclass(frozen=True)
class DanceRhythm:
    """Holds the strokes of a dance, times_s and strengths (N,), the curve (T,) they were read from, and an even pulse.

    peaks_s, peak_strengths (P,): the network's peaks, where the strokes are a filter's beats.
    """

    times_s: Array
    strengths: Array
    curve: Array
    tempo_bpm: float
    tempo_alternatives: tuple[tuple[float, float], ...]
    beats_s: Array
    bars_s: Array
    peaks_s: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    peak_strengths: Array = field(default_factory=lambda: np.zeros(0, np.float32))


def postprocess(config: ModelConfig, curves: Array, filtered: Array | None, fps: float) -> DanceRhythm:
    """Reads the rhythm of one clip off the network's curves (T, H) and, if it has one, its beat filter's (T, F)."""
    served = np.ascontiguousarray(curves[:, config.served_index])
    times_s, strengths = strokes_from_curve(served, fps)
    if filtered is not None and not is_confident(strengths):
        return replace(_by_filter(filtered, fps), peaks_s=times_s, peak_strengths=strengths)
    bpm, alternatives = tempo(served, fps)
    beats_s = track_beats(served, fps, bpm)
    heads = config.rhythm_heads
    bars = bar_starts(beats_s, curves[:, heads.index("downbeat")], fps) if "downbeat" in heads else beats_s[:0]
    return DanceRhythm(times_s, strengths, served, bpm, alternatives, beats_s, bars)


def is_confident(strengths: Array) -> bool:
    """Returns whether strokes of these strengths are trusted to the frame: a known kind of dancer's, or a user's."""
    return bool(len(strengths)) and float(np.median(strengths)) >= MIN_CONFIDENCE


def _by_filter(filtered: Array, fps: float) -> DanceRhythm:
    """Takes the beats of the filter's curve for strokes, each as strong as the curve is high there."""
    beat, downbeat = (np.ascontiguousarray(filtered[:, FILTER_HEADS.index(name)]) for name in ("beat", "downbeat"))
    bpm, alternatives = tempo(beat, fps, prior_octaves=_USUAL_OCTAVES)
    beats_s = track_beats(beat, fps, bpm, tightness=_TIGHTNESS)
    strengths = np.interp(beats_s, np.arange(len(beat)) / fps, beat).astype(np.float32)
    return DanceRhythm(beats_s, strengths, beat, bpm, alternatives, beats_s, bar_starts(beats_s, downbeat, fps))
