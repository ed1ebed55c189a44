"""Simulates the independent detector without rendering, to choose settings in seconds instead of minutes.

The flow of a clip, by direction, is laid along the planned time map and judged as if it had been seen: what a picture
has moved by a second of the source is interpolated between its frames, and noise stands for what rendering and coding
do to it. It is some hundredths too kind. `--bpm` plays the songs faster or slower, so that few songs show many tempi.

    PYTHONPATH=. python docs/experiments/retarget_simulation.py --clips FOLDER --music FOLDER [--bpm 80 110]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.errors import RetargetRefused
from mudar.records import Analysis
from mudar.retarget.report.impact_detector import ImpactDetector, detect_impacts_of_frames
from mudar.retarget.retarget import dry_run
from mudar.retarget.settings import RetargetSettings
from mudar.rhythm.metrics import chance_level, hit_share
from tests.bench.retargeting.__main__ import interval
from tests.bench.retargeting.split import SIDES, pairs, source_of

NOISE, NOISE_OF_A_DIRECTION = 0.07, 0.15  # shares: about what rendered files show beside this simulation


def at_tempo(music: Analysis, bpm: float | None) -> Analysis:
    """Plays the song at another tempo."""
    if bpm is None or len(music.rhythm.beats_s) < 2:
        return music
    rhythm = music.rhythm
    faster = bpm * float(np.median(np.diff(rhythm.beats_s))) / 60
    times = {name: getattr(rhythm, name) / np.float32(faster) for name in ("times_s", "beats_s", "downbeats_s")}
    played = dataclasses.replace(rhythm, **times, fps=rhythm.fps * faster, tempo_bpm=bpm)
    return dataclasses.replace(music, duration_s=music.duration_s / faster, rhythm=played)


def simulate_detector(source: ImpactDetector, source_s: np.ndarray, fps: float) -> ImpactDetector:
    """Returns a detector as if it had read a file that shows these source seconds, a frame each."""
    rows = np.stack(source._rows)
    travelled = np.vstack([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    moved = np.diff(np.stack([np.interp(source_s, source._times_s, column) for column in travelled.T], axis=1), axis=0)
    rng = np.random.default_rng(0)
    noise = (1 + NOISE * rng.standard_normal((len(moved), 1))) * (
        1 + NOISE_OF_A_DIRECTION * rng.standard_normal(moved.shape)
    )
    detector = ImpactDetector()
    detector._times_s = list(np.arange(len(source_s)) / fps)
    detector._rows = list(np.maximum(moved * noise, 0).astype(np.float32))
    return detector


def measure_pair(
    dance: Analysis, source: ImpactDetector, music: Analysis, settings: RetargetSettings
) -> dict[str, Any]:
    """Measures what the detector would find in the file of this pair."""
    fps = 1 / float(np.median(np.diff(source._times_s)))
    chosen, report = dry_run(dance.rhythm, dance.duration_s, music.rhythm, music.duration_s, fps, settings)
    made = simulate_detector(source, chosen.time_map.source_s(np.arange(int(chosen.duration_s * fps)) / fps), fps)
    beats, after = report["beats"]["output_s"], made.impacts().times_s

    def hit(at: np.ndarray) -> float:
        return hit_share(beats, at, 1 / fps)

    return {
        "beats_hit": hit(after), "chance": chance_level(hit, after, chosen.duration_s),
        "own_beats_hit": report["beats_hit"]["after"], "jerk_ratio": (made.jerk() or 0.0) / (source.jerk() or 1.0),
        "speed_p1": report["speed"]["p1"], "speed_p99": report["speed"]["p99"], "source_used": report["source_used"],
    }  # fmt: skip


def rows(embedder: Embedder, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields a row for each pair and tempo."""
    songs: dict[Path, Analysis] = {}
    for clip, song in pairs(args.clips, args.music, args.side, args.pairs):
        songs[song] = songs.get(song) or embedder.music(song)
        dance, source = embedder.dance(clip), detect_impacts_of_frames(clip)
        for bpm in args.bpm or [None]:
            about = {"source": source_of(clip), "clip": clip.stem, "song": song.stem, "bpm": bpm}
            try:
                settings = RetargetSettings(accent=args.accent)
                yield about | measure_pair(dance, source, at_tempo(songs[song], bpm), settings)
            except RetargetRefused as refused:
                print(json.dumps(about | {"refused": refused.detail}), flush=True)


def main() -> None:
    """Prints a line for each tempo: means over sources, with their intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--side", choices=SIDES, default="tune")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--bpm", type=float, nargs="*")
    parser.add_argument("--accent", type=float, default=RetargetSettings().accent)
    args = parser.parse_args()
    all_rows = list(rows(Embedder.from_loaded(load_served()), args))
    for bpm in args.bpm or [None]:
        some = [row for row in all_rows if row["bpm"] == bpm]
        figures = {name: [round(x, 3) for x in interval(some, name)] for name in some[0] if name not in _NAMES}
        print(json.dumps({"bpm": bpm, "pairs": len(some), **figures}), flush=True)


_NAMES = ("source", "clip", "song", "bpm")

if __name__ == "__main__":
    main()
