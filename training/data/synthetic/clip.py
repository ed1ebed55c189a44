"""Generates clips, a dancer and her music on one clock, in memory or as files. Light: numpy, cv2, PyAV; no torch.

`write_clip` and `write_song` are what the demo and the tests call; `python -m training.data.synthetic.clip` does it
by hand.
"""

from __future__ import annotations

import argparse
import json
import wave
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypedDict, Unpack

import av
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.music.beatgrid import within
from training.data.synthetic.music.music import Song, Stretch, make_song, play, song_grid
from training.data.synthetic.video.dancer import Dance, make_dance
from training.data.synthetic.video.styles import STYLE


@dataclass(frozen=True)
class Truth:
    """Holds what is true of a clip, in seconds from its start."""

    seed: int
    song_id: str
    style: str
    groove: str
    tempo_bpm: float
    duration_s: float
    strokes_s: tuple[float, ...]
    beats_s: tuple[float, ...]
    downbeats_s: tuple[float, ...]


@dataclass(frozen=True)
class Clip:
    """A dance, the song it was made to, and the truth about both."""

    dance: Dance
    song: Song
    music: Stretch
    truth: Truth


def make_clip(
    seed: int, duration_s: float, *, song_seed: int | None = None, style: str | None = None,
    tempo_bpm: float | None = None, sample_rate_hz: int = 44_100,
) -> Clip:  # fmt: skip
    """The clip of this seed. `song_seed` picks the song, by default one of its own whose groove suits the style."""
    rng = np.random.default_rng([seed, 1])
    names = list(STYLE)
    if song_seed is None:
        chosen = STYLE[style or names[int(rng.integers(len(names)))]]
        song = _fitting_song(seed, chosen.grooves, tempo_bpm)
        style = chosen.name
    else:
        song = make_song(song_seed, tempo_bpm=tempo_bpm)
        fitting = [name for name in names if song.groove in STYLE[name].grooves]
        style = style or fitting[int(rng.integers(len(fitting)))]
    grid = song_grid(song, duration_s, take=seed)
    dance = make_dance(seed, grid, duration_s, style)
    music = play(song, grid, duration_s, sample_rate_hz)
    truth = Truth(
        seed, song.song_id, dance.style, song.groove, song.tempo_bpm, duration_s, tuple(map(float, dance.strokes_s)),
        tuple(map(float, music.beats_s)), tuple(map(float, within(grid.downbeats_s(), duration_s))),
    )  # fmt: skip
    return Clip(dance, song, music, truth)


def _fitting_song(seed: int, grooves: tuple[str, ...], tempo_bpm: float | None) -> Song:
    """The first song of the seed's own series with one of these grooves: a song is its seed, whatever it is for."""
    for step in range(1000):
        song = make_song(seed + step * 1_000_003, tempo_bpm=tempo_bpm)
        if song.groove in grooves:
            return song
    raise AssertionError(f"no song with a groove of {grooves}")


class ClipOptions(TypedDict, total=False):
    """Says what a generated clip shows: its song, style and tempo are the seed's where none is given."""

    song_seed: int | None
    style: str | None
    tempo_bpm: float | None
    with_audio: bool


def write_clip(
    path: str | Path, seed: int, duration_s: float = 20.0, *, width: int = 640, height: int = 360, fps: int = 30,
    **options: Unpack[ClipOptions],
) -> Truth:  # fmt: skip
    """Writes an mp4 (H.264 + AAC) of a generated clip and returns its truth."""
    song_seed, style, tempo_bpm = options.get("song_seed"), options.get("style"), options.get("tempo_bpm")
    clip = make_clip(seed, duration_s, song_seed=song_seed, style=style, tempo_bpm=tempo_bpm)
    film(path, clip, size=(width, height), fps=fps, with_audio=options.get("with_audio", True))
    return clip.truth


def film(
    path: str | Path, clip: Clip, *, size: tuple[int, int], fps: int, crf: int = 23, with_audio: bool = True
) -> None:
    """Writes an mp4 (H.264 + AAC) of the clip, `size` (width, height) in pixels.

    crf: x264's quality, 18 (hardly a loss) to 32 (blocks to be seen).
    """
    with av.open(str(path), "w") as container:
        # One thread, and no tree of what later frames make of a block: else no two runs code alike.
        options = {"preset": "veryfast", "crf": str(crf), "x264-params": "mbtree=0"}
        video = container.add_stream("libx264", rate=fps, options=options)
        (width, height), video.pix_fmt = size, "yuv420p"
        video.width, video.height = width, height
        video.codec_context.time_base = Fraction(1, fps)
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=clip.music.sample_rate_hz, layout="mono") if with_audio else None
        for index, image in enumerate(clip.dance.frames(fps, width, height)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            for sound in _audio_frames(clip.music.samples, clip.music.sample_rate_hz):
                container.mux(audio.encode(sound))
            container.mux(audio.encode(None))


def write_song(
    path: str | Path, seed: int, duration_s: float = 30.0, *, groove: str | None = None, tempo_bpm: float | None = None,
    sample_rate_hz: int = 44_100,
) -> Truth:  # fmt: skip
    """Writes a song as .wav (or .flac, by the name) and return its truth; its strokes are empty."""
    song = _fitting_song(seed, (groove,), tempo_bpm) if groove else make_song(seed, tempo_bpm=tempo_bpm)
    music = play(song, song_grid(song, duration_s), duration_s, sample_rate_hz)
    if str(path).endswith(".flac"):
        _write_flac(path, music)
    else:
        with wave.open(str(path), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(sample_rate_hz)
            out.writeframes((music.samples * 32767).astype("<i2").tobytes())
    return Truth(
        seed, song.song_id, "", song.groove, song.tempo_bpm, duration_s, (),
        tuple(map(float, music.beats_s)), tuple(map(float, music.downbeats_s)),
    )  # fmt: skip


def _write_flac(path: str | Path, music: Stretch) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=music.sample_rate_hz, layout="mono", format="s16")
        for frame in _audio_frames(music.samples, music.sample_rate_hz, integer=True):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _audio_frames(samples: NDArray[np.float32], rate_hz: int, integer: bool = False) -> list[av.AudioFrame]:
    frames = []
    for start in range(0, len(samples), 1024):
        block = samples[None, start : start + 1024]
        data = (block * 32767).astype(np.int16) if integer else np.ascontiguousarray(block)
        frame = av.AudioFrame.from_ndarray(data, format="s16" if integer else "fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
        frames.append(frame)
    return frames


def main() -> None:
    """Writes a generated clip, or, to a .wav or .flac, a song.

    python -m training.data.synthetic.clip OUT.mp4 --seed 3 [--song-seed 7] [--seconds 20]
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--song-seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--style", choices=sorted(STYLE), default=None)
    parser.add_argument("--tempo", type=float, default=None, help="beats a minute")
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT, both even")
    args = parser.parse_args()
    if args.out.suffix in {".wav", ".flac"}:
        truth = write_song(args.out, args.seed, args.seconds, tempo_bpm=args.tempo)
    else:
        width, height = (int(v) for v in args.size.split("x"))
        truth = write_clip(args.out, args.seed, args.seconds, width=width, height=height, song_seed=args.song_seed,
                           style=args.style, tempo_bpm=args.tempo)  # fmt: skip
    print(json.dumps(asdict(truth)))  # noqa: T201 - this is the command's output


if __name__ == "__main__":
    main()
