"""Defines the beats, with drift, that a generated dancer and her music share. Knows no sound and no body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
BEATS_PER_BAR = 4


@dataclass(frozen=True)
class BeatGrid:
    """Beat n falls at `beats_s[n]`; beats 0, 4, 8 … are downbeats. Covers the clip and a bar on both sides."""

    tempo_bpm: float
    beats_s: Seconds  # (N,) ascending; the first ones may lie before 0

    def time_s(self, position: NDArray[np.float64]) -> Seconds:
        """Seconds at which fractional beat `position` falls (linear between beats). Shape kept."""
        return np.interp(position, np.arange(len(self.beats_s)), self.beats_s)

    def positions(self, pattern: tuple[float, ...]) -> NDArray[np.float64]:
        """Every place of a bar `pattern` (in beats, 0 <= p < 4) along the whole grid, ascending. (M,)"""
        bars = len(self.beats_s) // BEATS_PER_BAR
        places = np.arange(bars)[:, None] * BEATS_PER_BAR + np.asarray(pattern)[None, :]
        flat = places.ravel()
        return flat[flat <= len(self.beats_s) - 1]

    def downbeats_s(self) -> Seconds:
        """Seconds of the first beat of each bar."""
        return self.beats_s[::BEATS_PER_BAR]


def make_grid(rng: np.random.Generator, duration_s: float, tempo_bpm: float, drift: float = 0.01) -> BeatGrid:
    """A grid whose local tempo wanders smoothly by about ±`drift` (a share) around `tempo_bpm`.

    The clip starts at a random place of a bar, so no network can learn that time 0 is a downbeat.
    """
    period_s = 60.0 / tempo_bpm
    count = int(np.ceil(duration_s / period_s)) + 4 * BEATS_PER_BAR
    count += -count % BEATS_PER_BAR
    steps = rng.normal(size=count)
    smooth = np.convolve(steps, np.hanning(11) / np.sqrt((np.hanning(11) ** 2).sum()), mode="same")
    periods = period_s * (1.0 + np.clip(drift * smooth, -3 * drift, 3 * drift))
    start_s = -period_s * BEATS_PER_BAR * (1.0 + rng.uniform())
    beats = start_s + np.concatenate([[0.0], np.cumsum(periods[:-1])])
    return BeatGrid(tempo_bpm=tempo_bpm, beats_s=beats)


def within(times_s: Seconds, duration_s: float) -> Seconds:
    """The times that fall inside the clip."""
    return times_s[(times_s >= 0.0) & (times_s < duration_s)]
