"""How far the sync check is to be trusted: clips whose sound is moved by known lags, and what it says of them.

    python -m tests.bench.sync_clips [--clips FOLDER] [--generated N] [--json]

Generated dancers have no lag of their own; real clips are taken to have none, which is not quite true of any. The
rhythm of the sound is moved rather than the file, so that one analysis of each serves all lags. Right: within 60 ms.
Beside it how often the same is right with the music of a clip half the list away, moved by the same lags (the null),
and how often an answer of 0 would be.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.errors import MudarError
from mudar.records import Rhythm
from mudar.rhythm.av_sync import Sync, compare
from training.data.synthetic.clip import write_clip

LAGS_S = (-0.4, -0.25, -0.12, -0.05, 0.0, 0.05, 0.12, 0.25, 0.4)
RIGHT_S = 0.06
FIRST_SEED = 9500  # of dancers that nothing was trained or chosen on


@dataclass(frozen=True)
class Heard:
    """A clip's rhythms and seconds."""

    dance: Rhythm
    music: Rhythm
    duration_s: float


def generated(embedder: Embedder, count: int) -> Iterator[Heard]:
    """16 s each, drawn small: the model sees 128 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            path = Path(folder) / "clip.mp4"
            write_clip(path, seed=seed, duration_s=16.0, width=256, height=144)
            yield analysed(embedder, path)


def real(embedder: Embedder, folder: Path) -> Iterator[Heard]:
    """Every clip below the folder that has a picture and a sound."""
    for path in sorted(folder.rglob("*.mp4")):
        try:
            yield analysed(embedder, path)
        except MudarError as error:
            print(f"{path.name}: {error.detail}")


def analysed(embedder: Embedder, path: Path) -> Heard:
    """The rhythm of the picture and that of the sound. Errors of the media."""
    dance, music = embedder.dance(path), embedder.music(path)
    return Heard(dance.rhythm, music.rhythm, min(dance.duration_s, music.duration_s))


def earlier(music: Rhythm, by_s: float, duration_s: float) -> Rhythm:
    """The rhythm of the sound moved to the front, so that the picture is late by as much."""
    times, beats = music.times_s - by_s, music.beats_s - by_s
    inside, kept = (times >= 0) & (times < duration_s), (beats >= 0) & (beats < duration_s)
    clock = np.arange(len(music.curve)) / music.fps
    curve = np.interp(clock + by_s, clock, music.curve, left=0.0, right=0.0).astype(np.float32)
    return replace(music, times_s=times[inside], strengths=music.strengths[inside], beats_s=beats[kept], curve=curve)


def said(heard: Heard) -> list[tuple[float, Sync]]:
    """(true lag, answer) for each lag."""
    return [
        (lag_s, compare(heard.dance, earlier(heard.music, lag_s, heard.duration_s), heard.duration_s))
        for lag_s in LAGS_S
    ]


def with_other_music(every: Sequence[Heard]) -> list[Heard]:
    """Each dance with the music of the clip half the list away."""
    others = [every[(place + len(every) // 2) % len(every)] for place in range(len(every))]
    return [
        Heard(mine.dance, other.music, min(mine.duration_s, other.duration_s))
        for mine, other in zip(every, others, strict=True)
    ]


def figures(answers: list[tuple[float, Sync]]) -> dict[str, float | int | None]:
    """What a reader wants to know of many answers."""
    off = np.array([abs(found.offset_s - lag_s) for lag_s, found in answers])
    sure = np.array([found.sure for _, found in answers])
    held = np.array([abs(lag_s) < found.holds_within_s - RIGHT_S for lag_s, found in answers])
    right = off < RIGHT_S

    def share(of: np.ndarray, where: np.ndarray) -> float | None:
        return round(float(of[where].mean()), 3) if where.any() else None

    return {
        "answers": len(answers),
        "median_error_ms": round(1000 * float(np.median(off)), 1),
        "right": share(right, off >= 0),
        "sure": share(sure, off >= 0),
        "sure_and_wrong": share(sure & ~right, off >= 0),
        "right_when_sure": share(right, sure),
        "sure_within_half_a_beat": share(sure, held),
        "right_when_sure_within_half_a_beat": share(right, sure & held),
    }


def main() -> None:
    """One line for generated dancers, one for the real clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--generated", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    embedder = Embedder.from_loaded(load_served())
    sets = {"generated": generated(embedder, args.generated)}
    if args.clips is not None:
        sets["real"] = real(embedder, args.clips)
    for name, clips in sets.items():
        every = [heard for heard in clips if heard.duration_s >= 4]
        told = {"clips": name, **figures([pair for heard in every for pair in said(heard)])}
        null = figures([pair for heard in with_other_music(every) for pair in said(heard)])
        told |= {
            "null_right": null["right"],
            "null_sure": null["sure"],
            "null_median_error_ms": null["median_error_ms"],
        }
        told["zero_right"] = round(float(np.mean(np.abs(LAGS_S) < RIGHT_S)), 3)
        print(json.dumps(told) if args.json else "  ".join(f"{key} {value}" for key, value in told.items()), flush=True)


if __name__ == "__main__":
    main()
