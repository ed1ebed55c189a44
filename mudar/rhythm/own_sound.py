"""Decides whether the sound of a clip is the music that is danced to in its picture.

A dance repeats with its music: after one, two and four beats the body does much the same again, and what it does
follows the phase within the bar. Both are measured on the beats of the sound, and again on the same beats played
faster and slower, which tell what chance and the dancer's habits give. Knows no file and no network.

Shapes: T frames of motion; M motion features; K principal components; B beats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mudar.records import Array, Rhythm, SoundRhythm
from mudar.rhythm.annotation import resolve
from mudar.rhythm.beat_tracking import Beats
from mudar.rhythm.postprocessing import is_confident

Floats = NDArray[np.float64]

COMPONENTS: Final = 16  # of the motion: what is left is noise of single cells of the grid
REPEAT_AFTER_BEATS: Final = (1, 2, 4)  # after which a dance repeats
CYCLES_PER_BAR: Final = (1, 2, 4, 8)  # of four beats: bar, half bar, beat, half beat
STRETCHES: Final = np.concatenate([np.geomspace(0.7, 0.96, 20), np.geomspace(1.04, 1.43, 20)])
FOLDS: Final = 4
RIDGE: Final = 5e-3
FEWEST_BEATS: Final = 8
SMOOTHING: Final = np.array([0.25, 0.5, 0.25])  # over three frames
# Logistic weights of (1, pulse, agreement) and of (1, motion), and the least product that is trusted:
# `python -m training.tools.fit_sound_trust` prints them.
MUSIC_WEIGHTS: Final = (-5.88, 0.198, 11.74)
MOTION_WEIGHTS: Final = (-0.758, 0.512)
LEAST_CONFIDENCE: Final = 0.2
STRONGEST_PULSE: Final = 8.0  # more says no more


def beat_phase(times_s: Floats, beats_s: Floats) -> Floats:
    """Gives the phase of each time in beats: 2.5 is half way from the third beat to the fourth.

    Beyond the first and the last beat the tempo near them goes on. times_s (T,), beats_s (B,), B >= 2; seconds.

    >>> beat_phase(np.array([0.25, 1.0, 2.5]), np.array([0.0, 0.5, 1.0, 1.5])).tolist()
    [0.5, 2.0, 5.0]
    """
    phase = np.interp(times_s, beats_s, np.arange(len(beats_s)))
    first, last = (float(np.median(steps)) for steps in (np.diff(beats_s[:8]), np.diff(beats_s[-8:])))
    phase = np.where(times_s < beats_s[0], (times_s - beats_s[0]) / first, phase)
    after = len(beats_s) - 1 + (times_s - beats_s[-1]) / last
    return np.asarray(np.where(times_s > beats_s[-1], after, phase))


def time_at_phase(phase: Floats, beats_s: Floats) -> Floats:
    """Gives the seconds at which the beats reach a phase (T,): the inverse of `beat_phase`."""
    times = np.interp(phase, np.arange(len(beats_s)), beats_s)
    first, last = (float(np.median(steps)) for steps in (np.diff(beats_s[:8]), np.diff(beats_s[-8:])))
    times = np.where(phase < 0, beats_s[0] + phase * first, times)
    end = len(beats_s) - 1
    return np.asarray(np.where(phase > end, beats_s[-1] + (phase - end) * last, times))


@dataclass(frozen=True)
class SoundEvidence:
    """What speaks for the sound of a clip as the clock of its dance.

    motion: how much better the motion repeats on the beats of the sound than on stretched ones, in their standard
    deviations. pulse: the same for the onset envelope of the sound itself. agreement: F-measure (70 ms) of two beat
    trackers on the sound, 0..1.
    """

    motion: float
    pulse: float
    agreement: float

    @property
    def is_music(self) -> float:
        """The probability, 0..1, that the sound has beats, beside speech."""
        bias, pulse, agreement = MUSIC_WEIGHTS
        return _logistic(bias + pulse * min(self.pulse, STRONGEST_PULSE) + agreement * self.agreement)

    @property
    def is_danced_to(self) -> float:
        """The probability, 0..1, that the motion goes with these beats, beside those of another song."""
        bias, motion = MOTION_WEIGHTS
        return _logistic(bias + motion * self.motion)

    @property
    def confidence(self) -> float:
        """The product of the two."""
        return self.is_music * self.is_danced_to

    @property
    def reason(self) -> str:
        """Says in a sentence why the sound is trusted, or why it is not."""
        if self.confidence >= LEAST_CONFIDENCE:
            return "The motion goes with the beats of the clip's own sound."
        if self.is_music < self.is_danced_to:
            return "The clip's own sound has no beats that two beat trackers agree on."
        return "The motion does not go with the beats of the clip's own sound."


def _logistic(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))


def with_sound(picture: Rhythm, sound: SoundRhythm) -> Rhythm:
    """Returns the rhythm of a dance with its sound beside it, and in use where it is trusted more than the picture.

    Where the network is sure of every stroke, the strokes themselves are known, and beats say less.
    """
    rhythm = replace(picture, sound=sound)
    sure = not len(picture.peaks_s) and is_confident(picture.strengths)
    return rhythm if sure or sound.confidence < LEAST_CONFIDENCE else resolve(rhythm, "sound")


def sound_rhythm(beats: Beats, downbeats_s: Array, evidence: SoundEvidence) -> SoundRhythm:
    """Describes the beats of a clip's own sound for its record."""
    return SoundRhythm(beats.times_s, downbeats_s, beats.tempo_bpm, evidence.confidence, evidence.reason)


def sound_evidence(
    motion: ArrayLike, fps: float, envelope: ArrayLike, envelope_rate_hz: float, beats_s: ArrayLike, agreement: float
) -> SoundEvidence:
    """Weighs the beats of a sound against the motion (T, M) at `fps` and the onset envelope (N,) of the sound.

    beats_s (B,): ascending seconds on the clock of the picture. Fewer than 8 beats are no evidence at all.
    """
    beats = np.asarray(beats_s, np.float64)
    if len(beats) < FEWEST_BEATS:
        return SoundEvidence(0.0, 0.0, 0.0)
    onsets = np.asarray(envelope, np.float64)[:, None]
    strength = _standardized(onsets)
    pulse = _against_stretched(lambda clock: np.array([_folded(strength, envelope_rate_hz, clock)]), beats)
    rows = np.asarray(motion, np.float64)
    if len(rows) < 4 * fps:
        return SoundEvidence(0.0, float(pulse), agreement)
    components = principal_components(rows)
    smooth = np.apply_along_axis(np.convolve, 0, components, SMOOTHING, "same")

    def repetition(clock: Floats) -> Floats:
        return np.append(_repetition(smooth, fps, clock), _folded(components, fps, clock))

    return SoundEvidence(float(_against_stretched(repetition, beats)), float(pulse), agreement)


def principal_components(motion: Floats) -> Floats:
    """Gives the first components (T, K) of motion (T, M) whose columns are brought to one variance."""
    columns = _standardized(motion)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, :COMPONENTS] * sizes[:COMPONENTS])


def _standardized(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / (centred.std(axis=0) + 1e-6))


def _against_stretched(statistic: Callable[[Floats], Floats], beats_s: Floats) -> float:
    """The sum, over the values of a statistic, of how far the beats lie above stretched ones, in deviations of those.

    A value that cannot be had (NaN: the clip is too short for it) says nothing.
    """
    values = statistic(beats_s)
    others = np.array([statistic(beats_s * stretch) for stretch in STRETCHES])
    known = ~np.isnan(others).any(axis=0) & ~np.isnan(values)
    others = others[:, known]
    return float(((values[known] - others.mean(axis=0)) / (others.std(axis=0) + 1e-9)).sum())


def _repetition(components: Floats, fps: float, beats_s: Floats) -> Floats:
    """How alike (-1..1) the motion (T, K) is to itself 1, 2 and 4 beats later; NaN where less than 1.5 s is left."""
    times = np.arange(len(components)) / fps
    phase = beat_phase(times, beats_s)
    alike = np.full(len(REPEAT_AFTER_BEATS), np.nan)
    for i, beats in enumerate(REPEAT_AFTER_BEATS):
        later = time_at_phase(phase + beats, beats_s) * fps
        inside = later <= len(components) - 1
        if inside.sum() < 1.5 * fps:
            continue
        low = np.floor(later[inside]).astype(np.intp)
        share = (later[inside] - low)[:, None]
        shifted = components[low] * (1 - share) + components[np.minimum(low + 1, len(components) - 1)] * share
        here = components[inside]
        alike[i] = np.sum(here * shifted) / np.sqrt(np.sum(here**2) * np.sum(shifted**2) + 1e-12)
    return alike


def _folded(columns: Floats, rate_hz: float, beats_s: Floats) -> float:
    """The share of variance of columns (T, K) that a pattern over the bar foretells, cross-validated over blocks."""
    phase = beat_phase(np.arange(len(columns)) / rate_hz, beats_s)
    angles = 2 * np.pi * phase[:, None] / 4 * np.array(CYCLES_PER_BAR)
    basis = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    fold = np.arange(len(columns)) * FOLDS // len(columns)
    error = 0.0
    for block in range(FOLDS):
        train, test = fold != block, fold == block
        gram = basis[train].T @ basis[train] + RIDGE * train.sum() * np.eye(basis.shape[1])
        weights = np.linalg.solve(gram, basis[train].T @ columns[train])
        error += float(np.sum((columns[test] - basis[test] @ weights) ** 2))
    return 1.0 - error / (float(np.sum(columns**2)) + 1e-12)
