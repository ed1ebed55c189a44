"""Is a clip's picture in time with its own sound? The lag between the two rhythm curves, and how sure that is.

Pictures and sound drift apart on their way through phones, speakers and editors, by a constant. The curve of the
strokes is compared with that of the music (beats, and onsets between them) at every lag. A dance repeats with the
beat, and so does the match: a lag is known up to whole beats, and where dancers also move between the beats up to half
a one. Every answer therefore says within which lag it holds: half a beat. And it counts as sure only where
- the match beats those at lags that cannot be meant, several seconds away,
- it is close in itself: real dancers stay below, and there it was right no more often than a guess,
- and no other lag that people would let pass matches nearly as well.
How often sure answers are right: docs/experiments/SYNC.md. numpy only; knows rhythms, no files.

T = frames of a curve; L = lags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.errors import MediaTooShort
from mudar.records import Rhythm

Floats = NDArray[np.float64]

CLOCK_HZ = 100.0
MOST_S = 0.6  # lags looked at: beyond, it is the next beat that matches
IN_TIME_S = 0.045  # what broadcasters allow sound to lead (ITU-R BT.1359 detectability)
SURE = 0.98  # of the chance matches that this one must beat
CLOSE = 0.8  # least correlation of a sure answer
RIVAL, RIVAL_WITHIN_S = 0.7, 0.42  # another lag this small, this share as good, leaves it open
RIVAL_APART_S = 0.08
BLUR_S = 0.04  # of a stroke or a beat
USUAL_LAG_S = 0.35  # small lags are commoner than large ones: the width of that belief
NULL_MARGIN_S = 1.5  # lags at least this far from 0 stand for chance
LEAST_S = 4.0


@dataclass(frozen=True)
class Sync:
    """offset_s > 0: the picture is late, so the sound has to be delayed by that much.

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
        """Whether to act on it."""
        return self.confidence >= SURE and self.correlation >= CLOSE and self.rival < RIVAL

    @property
    def verdict(self) -> str:
        """Whether the picture is in time with the sound, as far as this can tell."""
        if not self.sure:
            return "unsure"
        return "in_time" if abs(self.offset_s) <= IN_TIME_S else "off"

    def to_dict(self) -> dict[str, object]:
        """For JSON: milliseconds."""
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
    """The lag of the picture behind its sound, both counted from the file's time 0. MediaTooShort under 4 s."""
    if duration_s < LEAST_S:
        raise MediaTooShort(f"{duration_s:.1f} s are too few to tell a lag; at least {LEAST_S:g} s are needed.")
    seen, heard = stroke_curve(dance, duration_s), music_curve(music, duration_s)
    lags = np.arange(-round(MOST_S * CLOCK_HZ), round(MOST_S * CLOCK_HZ) + 1)
    belief = np.exp(-0.5 * (lags / CLOCK_HZ / USUAL_LAG_S) ** 2)
    match = _circular_match(seen, heard)
    near = match[lags]
    score = np.maximum(near, 0.0) * belief
    best = int(np.argmax(score))
    peaks = [k for k in range(1, len(near) - 1) if near[k] >= near[k - 1] and near[k] > near[k + 1]]
    period = round(60 * CLOCK_HZ / music.tempo_bpm) if music.tempo_bpm > 0 else len(near)
    ranked = sorted(peaks, key=lambda k: -score[k])[:4]
    return Sync(
        offset_s=float((lags[best] + _vertex(near, best)) / CLOCK_HZ),
        confidence=_confidence(float(score[best]), match, belief),
        correlation=float(near[best]),
        correlation_at_zero=float(match[0]),
        holds_within_s=min(MOST_S, period / CLOCK_HZ / 2),
        rival=_rival(near, best, [*peaks, best - period, best + period]),
        alternatives=tuple((float(lags[k] / CLOCK_HZ), float(near[k])) for k in ranked if k != best),
    )


def _rival(near: Floats, best: int, others: list[int]) -> float:
    """The best correlation at another lag within reach, over that at the best; peaks, and the beats next to it."""
    half = len(near) // 2
    within = [
        float(near[k])
        for k in others
        if abs(k - half) <= RIVAL_WITHIN_S * CLOCK_HZ and abs(k - best) > RIVAL_APART_S * CLOCK_HZ
    ]
    return max(within, default=0.0) / max(float(near[best]), 1e-6)


def stroke_curve(dance: Rhythm, duration_s: float) -> Floats:
    """(T,) on the fine clock: blurred strokes by strength, and the network's own curve under them."""
    return _mixed(_bells(dance.times_s, dance.strengths, duration_s), dance, duration_s)


def music_curve(music: Rhythm, duration_s: float) -> Floats:
    """(T,) on the fine clock: blurred beats, and the onset curve under them."""
    beats = music.beats_s if len(music.beats_s) else music.times_s
    return _mixed(_bells(beats, np.ones(len(beats)), duration_s), music, duration_s)


def _mixed(bells: Floats, rhythm: Rhythm, duration_s: float) -> Floats:
    """Half bells, half curve, each of variance 1."""
    clock = np.arange(len(bells)) / CLOCK_HZ
    parts = [bells]
    if len(rhythm.curve) > 2:
        parts.append(np.interp(clock, np.arange(len(rhythm.curve)) / rhythm.fps, rhythm.curve))
    return np.sum([_standard(part) for part in parts], axis=0)


def _bells(times_s: NDArray[np.floating], heights: NDArray[np.floating], duration_s: float) -> Floats:
    clock = np.arange(round(duration_s * CLOCK_HZ)) / CLOCK_HZ
    away = clock[:, None] - np.asarray(times_s, np.float64)[None, :]
    return np.asarray(np.exp(-0.5 * (away / BLUR_S) ** 2) @ np.asarray(heights, np.float64))


def _standard(curve: Floats) -> Floats:
    spread = float(curve.std())
    return (curve - curve.mean()) / spread if spread > 1e-9 else np.zeros_like(curve)


def _circular_match(seen: Floats, heard: Floats) -> Floats:
    """(T,) correlation of the curves with `seen` set earlier by 0..T-1 steps, around the circle."""
    seen, heard = _standard(seen), _standard(heard)
    product = np.fft.rfft(seen) * np.conj(np.fft.rfft(heard))
    return np.fft.irfft(product, len(seen)) / len(seen)


def _confidence(score: float, match: Floats, belief: Floats) -> float:
    """The share of windows at far-off lags whose best score is lower."""
    half = len(belief) // 2
    far = np.arange(round(NULL_MARGIN_S * CLOCK_HZ), len(match) - round(NULL_MARGIN_S * CLOCK_HZ), 7)
    if not len(far):
        return 0.0
    windows = match[(far[:, None] + np.arange(-half, half + 1)[None, :]) % len(match)]
    best = (np.maximum(windows, 0.0) * belief).max(axis=1)
    return float((best < score).mean())


def _vertex(values: Floats, at: int) -> float:
    """Where between its neighbours, -0.5..0.5, the parabola through a peak has its top."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, middle, right = values[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
