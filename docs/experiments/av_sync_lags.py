"""Measures how far the sync check is to be trusted, on clips whose sound is moved by known lags.

    python docs/experiments/av_sync_lags.py [--clips FOLDER] [--generated N] [--json]

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
class ClipRhythms:
    """The rhythms of a clip's picture and sound, and its seconds."""

    dance: Rhythm
    music: Rhythm
    duration_s: float


def generated(embedder: Embedder, count: int) -> Iterator[ClipRhythms]:
    """Analyses generated clips of 16 s, drawn small: the model sees 128 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            path = Path(folder) / "clip.mp4"
            write_clip(path, seed=seed, duration_s=16.0, width=256, height=144)
            yield analysed(embedder, path)


def real(embedder: Embedder, folder: Path) -> Iterator[ClipRhythms]:
    """Analyses every clip below the folder that has a picture and a sound."""
    for path in sorted(folder.rglob("*.mp4")):
        try:
            yield analysed(embedder, path)
        except MudarError as error:
            print(f"{path.name}: {error.detail}")


def analysed(embedder: Embedder, path: Path) -> ClipRhythms:
    """Analyses picture and sound of a file. Raises the errors of the media."""
    dance, music = embedder.dance(path), embedder.music(path)
    return ClipRhythms(dance.rhythm, music.rhythm, min(dance.duration_s, music.duration_s))


def earlier(music: Rhythm, by_s: float, duration_s: float) -> Rhythm:
    """Moves the rhythm of the sound to the front, so that the picture is late by as much."""
    times, beats = music.times_s - by_s, music.beats_s - by_s
    inside, beats_inside = (times >= 0) & (times < duration_s), (beats >= 0) & (beats < duration_s)
    clock = np.arange(len(music.curve)) / music.fps
    curve = np.interp(clock + by_s, clock, music.curve, left=0.0, right=0.0).astype(np.float32)
    return replace(
        music, times_s=times[inside], strengths=music.strengths[inside], beats_s=beats[beats_inside], curve=curve
    )


def compare_at_lags(clip: ClipRhythms) -> list[tuple[float, Sync]]:
    """Compares picture and sound at each lag: (true lag, result)."""
    return [
        (lag_s, compare(clip.dance, earlier(clip.music, lag_s, clip.duration_s), clip.duration_s)) for lag_s in LAGS_S
    ]


def with_other_music(every: Sequence[ClipRhythms]) -> list[ClipRhythms]:
    """Pairs each dance with the music of the clip half the list away."""
    others = [every[(index + len(every) // 2) % len(every)] for index in range(len(every))]
    return [
        ClipRhythms(mine.dance, other.music, min(mine.duration_s, other.duration_s))
        for mine, other in zip(every, others, strict=True)
    ]


def figures(answers: list[tuple[float, Sync]]) -> dict[str, float | int | None]:
    """Summarizes many results: errors, shares of sure and of right ones."""
    off = np.array([abs(result.offset_s - lag_s) for lag_s, result in answers])
    sure = np.array([result.sure for _, result in answers])
    within = np.array([abs(lag_s) < result.holds_within_s - RIGHT_S for lag_s, result in answers])
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
        "sure_within_half_a_beat": share(sure, within),
        "right_when_sure_within_half_a_beat": share(right, sure & within),
    }


def main() -> None:
    """Prints a line for generated dancers and one for the real clips."""
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
        every = [clip for clip in clips if clip.duration_s >= 4]
        row = {"clips": name, **figures([pair for clip in every for pair in compare_at_lags(clip)])}
        null = figures([pair for clip in with_other_music(every) for pair in compare_at_lags(clip)])
        row |= {
            "null_right": null["right"],
            "null_sure": null["sure"],
            "null_median_error_ms": null["median_error_ms"],
        }
        row["zero_right"] = round(float(np.mean(np.abs(LAGS_S) < RIGHT_S)), 3)
        print(json.dumps(row) if args.json else "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
