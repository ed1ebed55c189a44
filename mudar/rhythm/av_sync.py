"""Measures whether a clip's picture is in time with its own sound: the lag of the two rhythm curves, with confidence.

Pictures and sound drift apart on their way through phones, speakers and editors, by a constant. The curve of the
strokes is compared with that of the music (beats, and onsets between them) at every lag. A dance repeats with the
beat, and so does the match: a lag is known up to whole beats, and where dancers also move between the beats up to half
a one. Every answer therefore says within which lag it holds: half a beat. And it counts as sure only where
- the match beats those at lags that cannot be meant, several seconds away,
- it is close in itself: real dancers stay below, and there it was right no more often than a guess,
- and no other lag that people would let pass matches nearly as well.
How often sure answers are right: docs/experiments/SYNC.md. Knows rhythms, no files.

T = frames of a curve; L = lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from mudar.errors import MediaTooShort
from mudar.features.envelope import parabolic_offset
from mudar.records import Rhythm

Floats = NDArray[np.float64]

CLOCK_HZ = 100.0
MAX_LAG_S = 0.6  # beyond, it is the next beat that matches
IN_TIME_S = 0.045  # what broadcasters allow sound to lead (ITU-R BT.1359 detectability)
MIN_CONFIDENCE = 0.98  # of the chance matches that this one must beat
MIN_CORRELATION = 0.8  # of a sure answer
RIVAL, RIVAL_WITHIN_S = 0.7, 0.42  # another lag this small, this share as good, leaves it open
RIVAL_DISTANCE_S = 0.08
BLUR_S = 0.04  # of a stroke or a beat
LAG_PRIOR_S = 0.35  # small lags are commoner than large ones: the width of that prior
NULL_MARGIN_S = 1.5  # lags at least this far from 0 stand for chance
MIN_DURATION_S = 4.0


@dataclass(frozen=True)
class Sync:
    """Says how late the picture is: offset_s > 0 means that the sound has to be delayed by that much.

    confidence: 0..1, the share of chance matches that this one beats. rival: the best other lag's correlation over this
    one's. holds_within_s: a picture that is later or earlier by more looks like one that is off by less: half a beat.
    verdict: in_time, off or unsure.
    """

    offset_s: float
    confidence: float
    correlation: float
    correlation_at_zero: float
    rival: float
    holds_within_s: float
    alternatives: tuple[tuple[float, float], ...]

    @property
    def sure(self) -> bool:
        """Whether the answer is sure enough to act on."""
        return self.confidence >= MIN_CONFIDENCE and self.correlation >= MIN_CORRELATION and self.rival < RIVAL

    @property
    def verdict(self) -> str:
        """Whether the picture is in time with the sound, as far as this can tell."""
        if not self.sure:
            return "unsure"
        return "in_time" if abs(self.offset_s) <= IN_TIME_S else "off"

    def to_dict(self) -> dict[str, object]:
        """Converts to plain values for JSON, in milliseconds."""
        return {
            "verdict": self.verdict,
            "offset_ms": round(1000 * self.offset_s, 1),
            "confidence": round(self.confidence, 3),
            "sure": self.sure,
            "correlation": round(self.correlation, 4),
            "correlation_at_zero": round(self.correlation_at_zero, 4),
            "rival": round(self.rival, 3),
            "holds_within_ms": round(1000 * self.holds_within_s, 1),
            "alternatives": [
                {"offset_ms": round(1000 * lag, 1), "correlation": round(value, 4)} for lag, value in self.alternatives
            ],
        }


def compare(dance: Rhythm, music: Rhythm, duration_s: float) -> Sync:
    """Measures the lag of the picture behind its sound, both counted from the file's time 0.

    Raises MediaTooShort under 4 s.
    """
    if duration_s < MIN_DURATION_S:
        raise MediaTooShort(f"{duration_s:.1f} s are too few to tell a lag; at least {MIN_DURATION_S:g} s are needed.")
    picture, sound = stroke_curve(dance, duration_s), music_curve(music, duration_s)
    lags = np.arange(-round(MAX_LAG_S * CLOCK_HZ), round(MAX_LAG_S * CLOCK_HZ) + 1)
    prior = np.exp(-0.5 * (lags / CLOCK_HZ / LAG_PRIOR_S) ** 2)
    match = _circular_correlation(picture, sound)
    near = match[lags]
    score = np.maximum(near, 0.0) * prior
    best = int(np.argmax(score))
    peaks = find_peaks(near)[0].tolist()
    period = round(60 * CLOCK_HZ / music.tempo_bpm) if music.tempo_bpm > 0 else len(near)
    ranked = sorted(peaks, key=lambda k: -score[k])[:4]
    return Sync(
        offset_s=float((lags[best] + float(parabolic_offset(near, np.intp(best)))) / CLOCK_HZ),
        confidence=_confidence(float(score[best]), match, prior),
        correlation=float(near[best]),
        correlation_at_zero=float(match[0]),
        holds_within_s=min(MAX_LAG_S, period / CLOCK_HZ / 2),
        rival=_rival(near, best, [*peaks, best - period, best + period]),
        alternatives=tuple((float(lags[k] / CLOCK_HZ), float(near[k])) for k in ranked if k != best),
    )


def _rival(near: Floats, best: int, others: list[int]) -> float:
    """Returns the best correlation at another lag within reach, over that at the best one."""
    half = len(near) // 2
    within = [
        float(near[k])
        for k in others
        if abs(k - half) <= RIVAL_WITHIN_S * CLOCK_HZ and abs(k - best) > RIVAL_DISTANCE_S * CLOCK_HZ
    ]
    return max(within, default=0.0) / max(float(near[best]), 1e-6)


def stroke_curve(dance: Rhythm, duration_s: float) -> Floats:
    """Draws strokes by their strength, blurred, over the network's own curve: (T,) on the fine clock."""
    return _mix(_bells(dance.times_s, dance.strengths, duration_s), dance, duration_s)


def music_curve(music: Rhythm, duration_s: float) -> Floats:
    """Draws beats, blurred, over the onset curve: (T,) on the fine clock."""
    beats = music.beats_s if len(music.beats_s) else music.times_s
    return _mix(_bells(beats, np.ones(len(beats)), duration_s), music, duration_s)


def _mix(bells: Floats, rhythm: Rhythm, duration_s: float) -> Floats:
    """Adds the bells and the rhythm's curve, each brought to variance 1."""
    clock = np.arange(len(bells)) / CLOCK_HZ
    parts = [bells]
    if len(rhythm.curve) > 2:
        parts.append(np.interp(clock, np.arange(len(rhythm.curve)) / rhythm.fps, rhythm.curve))
    return np.sum([_standardize(part) for part in parts], axis=0)


def _bells(times_s: NDArray[np.floating], heights: NDArray[np.floating], duration_s: float) -> Floats:
    clock = np.arange(round(duration_s * CLOCK_HZ)) / CLOCK_HZ
    away = clock[:, None] - np.asarray(times_s, np.float64)[None, :]
    return np.asarray(np.exp(-0.5 * (away / BLUR_S) ** 2) @ np.asarray(heights, np.float64))


def _standardize(curve: Floats) -> Floats:
    spread = float(curve.std())
    return (curve - curve.mean()) / spread if spread > 1e-9 else np.zeros_like(curve)


def _circular_correlation(picture: Floats, sound: Floats) -> Floats:
    """Correlates the curves with `picture` set earlier by 0..T-1 steps, around the circle; (T,)."""
    product = np.fft.rfft(_standardize(picture)) * np.conj(np.fft.rfft(_standardize(sound)))
    return np.fft.irfft(product, len(picture)) / len(picture)


def _confidence(score: float, match: Floats, prior: Floats) -> float:
    """Returns the share of windows at far-off lags whose best score is lower."""
    half = len(prior) // 2
    far = np.arange(round(NULL_MARGIN_S * CLOCK_HZ), len(match) - round(NULL_MARGIN_S * CLOCK_HZ), 7)
    if not len(far):
        return 0.0
    windows = match[(far[:, None] + np.arange(-half, half + 1)[None, :]) % len(match)]
    best = (np.maximum(windows, 0.0) * prior).max(axis=1)
    return float((best < score).mean())
