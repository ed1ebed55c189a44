"""Writes the files that the golden values are made from: five songs and three dances, the same bits every time."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.clip import write_clip, write_song

SAMPLE_RATE_HZ = 44_100
DURATION_S = 10.0
PICTURE = {"width": 192, "height": 256}
SILENCE_S = 2.5
WALTZ_BPM = 150.0
UNEVEN = (0.0, 0.8, 0.2, 0.7)  # of a frame's length: how late frames 0, 1, 2 and 3 of each four are shown


def _song(seed: int, groove: str, tempo_bpm: float) -> Callable[[Path], object]:
    """A generated song in 4/4."""
    return lambda path: write_song(path, seed, DURATION_S, groove=groove, tempo_bpm=tempo_bpm)


def _dance(seed: int, style: str, tempo_bpm: float) -> Callable[[Path], object]:
    """A generated dancer at 30 frames a second, with the song that she dances to."""
    return lambda path: write_clip(path, seed, DURATION_S, style=style, tempo_bpm=tempo_bpm, **PICTURE)


def _waltz(path: Path) -> None:
    """Three beats to the bar: a low drum with a bass note on the first, a short bright noise on the others."""
    rng = np.random.default_rng(3)
    samples = np.zeros(round(DURATION_S * SAMPLE_RATE_HZ))
    at = np.arange(round(0.3 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    low = np.sin(2 * np.pi * 60 * at) * np.exp(-at / 0.08) + 0.5 * np.sin(2 * np.pi * 110 * at) * np.exp(-at / 0.15)
    for beat, start_s in enumerate(np.arange(0.2, DURATION_S - 0.5, 60 / WALTZ_BPM)):
        bright = 0.3 * rng.normal(size=len(at)) * np.exp(-at / 0.02)
        first = round(start_s * SAMPLE_RATE_HZ)
        samples[first : first + len(at)] += low if beat % 3 == 0 else bright
    _write_wav(path, samples / np.abs(samples).max() * 0.8)


def _late_song(path: Path) -> None:
    """A generated song with silence in front."""
    write_song(path, 14, DURATION_S - SILENCE_S, groove="funk", tempo_bpm=105.0, sample_rate_hz=SAMPLE_RATE_HZ)
    with wave.open(str(path), "rb") as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32767
    _write_wav(path, np.concatenate([np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ)), samples]))


def _uneven_dance(path: Path) -> None:
    """A generated dancer whose frames are shown at uneven intervals: the packets of a clip, stamped anew."""
    even = path.with_name(f"even-{path.name}")
    write_clip(even, 23, DURATION_S, style="bounce", tempo_bpm=110.0, with_audio=False, **PICTURE)
    with av.open(str(even)) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        stream = out.add_stream_from_template(video)
        ticks = round(1 / (video.average_rate * video.time_base))
        for packet in source.demux(video):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = (
                stamp + round(UNEVEN[stamp // ticks % len(UNEVEN)] * ticks) for stamp in (packet.pts, packet.dts)
            )
            packet.stream = stream
            out.mux(packet)


def _write_wav(path: Path, samples: NDArray[np.float64]) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes((samples * 32767).astype("<i2").tobytes())


INPUTS: dict[str, Callable[[Path], object]] = {
    "song_slow.wav": _song(11, "hiphop", 82.0),
    "song_middle.flac": _song(12, "house", 122.0),
    "song_fast.wav": _song(13, "rock", 152.0),
    "song_waltz.wav": _waltz,
    "song_late.wav": _late_song,
    "dance_landing.mp4": _dance(21, "arm_hits", 118.0),
    "dance_passing.mp4": _dance(22, "arm_wave", 92.0),
    "dance_uneven.mp4": _uneven_dance,
}


def write_input(folder: Path, name: str) -> Path:
    """Write the input of this name into the folder, unless it is there already, and return its path."""
    path = folder / name
    if not path.exists():
        INPUTS[name](path)
    return path
