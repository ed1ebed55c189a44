"""Synthesises songs: drums, bass and chords in the grooves of `grooves.py`. Knows no dancer and writes no file.

A song is its seed: tempo, key, groove, chords, sounds. A clip is a stretch of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.music import instruments
from training.data.synthetic.music.beatgrid import BeatGrid, Seconds, make_grid, within
from training.data.synthetic.music.grooves import GROOVES

Samples = NDArray[np.float32]
_SCALES: Final = ((0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11))
_PROGRESSIONS: Final = ((0, 5, 3, 4), (0, 3, 4, 3), (0, 4, 5, 3), (5, 3, 0, 4), (0, 0, 3, 4), (0, 5, 2, 6))


@dataclass(frozen=True)
class Song:
    """What is fixed for the whole of a song."""

    seed: int
    groove: str
    tempo_bpm: float

    @property
    def song_id(self) -> str:
        """Two clips with the same id are of one song."""
        return f"gen-{self.seed}-{self.tempo_bpm:.1f}"


@dataclass(frozen=True)
class Stretch:
    """A stretch of a song: sound (N,) float32 in -1..1 and the truth about it, in seconds from its start."""

    samples: Samples
    sample_rate_hz: int
    beats_s: Seconds
    downbeats_s: Seconds


def make_song(seed: int, *, tempo_bpm: float | None = None) -> Song:
    """The song of this seed; a tempo given makes it another song."""
    rng = np.random.default_rng([seed, 21])
    names = tuple(GROOVES)
    groove = GROOVES[names[int(rng.integers(len(names)))]]
    low, high = groove.tempo_bpm
    return Song(seed, groove.name, float(tempo_bpm or np.clip(rng.uniform(low - 6, high + 6), 70, 160)))


def song_grid(song: Song, duration_s: float, take: int = 0) -> BeatGrid:
    """The beats of the `take`-th stretch of the song."""
    rng = np.random.default_rng([song.seed, 22, take])
    return make_grid(rng, duration_s, song.tempo_bpm, drift=float(rng.choice([0.001, 0.006, 0.012])))


def play(song: Song, grid: BeatGrid, duration_s: float, sample_rate_hz: int = 44_100) -> Stretch:
    """Play the song over the grid."""
    rng = np.random.default_rng([song.seed, 23])
    groove = GROOVES[song.groove]
    out = np.zeros(int(duration_s * sample_rate_hz) + 3 * sample_rate_hz)
    levels = {"drums": rng.uniform(0.7, 1.0), "bass": rng.uniform(0.4, 0.7), "comp": rng.uniform(0.2, 0.45)}
    for name, hits in groove.hits.items():
        sound = _drum(name, rng, sample_rate_hz)
        for beat, loud in hits:
            for at_s in grid.time_s(grid.positions((beat,))):
                _add(out, sound, at_s, sample_rate_hz, levels["drums"] * loud * rng.uniform(0.85, 1.1))
    _play_harmony(out, song, grid, rng, sample_rate_hz, levels)
    out = out[: int(duration_s * sample_rate_hz)]
    out = np.tanh(1.3 * out / max(float(np.abs(out).max()), 1e-6)) * 0.85
    return Stretch(
        out.astype(np.float32), sample_rate_hz, within(grid.beats_s, duration_s), within(grid.downbeats_s(), duration_s)
    )


def _drum(name: str, rng: np.random.Generator, rate_hz: int) -> NDArray[np.float64]:
    table = {
        "kick": lambda: instruments.kick(rng, rate_hz), "snare": lambda: instruments.snare(rng, rate_hz),
        "clap": lambda: instruments.clap(rng, rate_hz), "hat": lambda: instruments.hat(rng, rate_hz),
        "open_hat": lambda: instruments.hat(rng, rate_hz, open_=True),
        "guira": lambda: instruments.guira(rng, rate_hz),
        "bongo_high": lambda: instruments.bongo(rng, rate_hz),
        "bongo_low": lambda: instruments.bongo(rng, rate_hz, False),
    }  # fmt: skip
    return table[name]()


def _play_harmony(
    out: NDArray[np.float64], song: Song, grid: BeatGrid, rng: np.random.Generator, rate_hz: int,
    levels: dict[str, float],
) -> None:  # fmt: skip
    groove, beat_s = GROOVES[song.groove], 60.0 / song.tempo_bpm
    scale, key = _SCALES[int(rng.integers(2))], int(rng.integers(12))
    progression = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
    comp_kind = "pluck" if rng.uniform() < 0.7 else "lead"
    made: dict[tuple[str, int], NDArray[np.float64]] = {}

    def note(kind: str, midi: int, beats: float) -> NDArray[np.float64]:
        if (kind, midi) not in made:
            made[kind, midi] = instruments.tone(440.0 * 2 ** ((midi - 69) / 12), beats * beat_s, rate_hz, kind)
        return made[kind, midi]

    for bar in range(len(grid.beats_s) // 4):
        degree = progression[bar % len(progression)]
        chord = [48 + key + scale[(degree + step) % 7] + 12 * ((degree + step) // 7) for step in (0, 2, 4)]
        for beat in groove.bass:
            at_s = float(grid.time_s(np.array([bar * 4 + beat]))[0])
            _add(out, note("bass", chord[0] - 12, 0.7), at_s, rate_hz, levels["bass"])
        for n, beat in enumerate(groove.comp):
            at_s = float(grid.time_s(np.array([bar * 4 + beat]))[0])
            for midi in chord if song.groove != "bachata" else [chord[n % 3] + 12]:
                _add(out, note(comp_kind, midi + 12, 0.9), at_s, rate_hz, levels["comp"] * 0.6)
        if groove.pad:
            for midi in chord:
                _add(out, note("pad", midi, 4.0), float(grid.beats_s[bar * 4]), rate_hz, 0.12)


def _add(out: NDArray[np.float64], sound: NDArray[np.float64], at_s: float, rate_hz: int, gain: float) -> None:
    start = round(at_s * rate_hz)
    head = max(-start, 0)
    length = min(len(sound) - head, len(out) - start - head)
    if length > 0:
        out[start + head : start + head + length] += gain * sound[head : head + length]
