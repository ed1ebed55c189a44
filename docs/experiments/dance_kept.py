"""Measures what a warp keeps of a dance's relation to the beat, by where the dance's strokes come from.

    python docs/experiments/dance_kept.py CLIP… --songs SONG… [--per-clip 2] [--json]

Each clip is planned onto songs, nothing is rendered. Kept: the projection of the motion on the beats of the clip's own
sound, against that of the warped motion on the beats of the song (`mudar.retarget.report.dance_kept`).
Even: the 95th over the 5th percentile of the speed within a plan. Intervals are bootstraps over clips. The beats are
ours on both sides: a plan that pairs them can be no better than the tracker, which this does not judge.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.errors import MudarError
from mudar.records import Analysis
from mudar.retarget.plan import plan
from mudar.retarget.report.dance_kept import plan_keeps
from mudar.retarget.settings import RetargetSettings
from mudar.rhythm.annotation import resolve

LONGEST_S = 30.0
RATE_HZ = 30.0
SOURCES = ("picture", "sound", "auto")


def measure(dance: Analysis, song: Analysis, rhythm_from: str) -> tuple[float, float] | None:
    """Returns (kept, even) of one plan; None where it is refused or nothing can be said."""
    try:
        rhythm = resolve(dance.rhythm, rhythm_from)
        settings = RetargetSettings(max_duration_s=LONGEST_S)
        chosen = plan(rhythm, dance.duration_s, song.rhythm, song.duration_s, settings)
    except MudarError:
        return None
    share = plan_keeps(chosen, rhythm, song.rhythm)
    if share is None:
        return None
    output_s = np.arange(0.0, chosen.duration_s, 1 / RATE_HZ)
    speed = np.diff(np.asarray(chosen.time_map.source_s(output_s))) * RATE_HZ
    return share["kept"], float(np.percentile(speed, 95) / max(np.percentile(speed, 5), 1e-3))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--songs", nargs="+", type=Path, required=True, metavar="SONG")
    parser.add_argument("--per-clip", type=int, default=2, help="songs for each clip")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args()
    embedder, rng = Embedder.from_loaded(load_served()), np.random.default_rng(0)
    songs = [embedder.music(path) for path in args.songs]
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    trusted = with_sound = 0
    for path in args.clips:
        try:
            dance = embedder.dance(path)
        except MudarError as error:
            sys.stderr.write(f"{path.name}: {error.detail}\n")
            continue
        if dance.rhythm.sound is None:
            continue
        with_sound, trusted = with_sound + 1, trusted + (dance.rhythm.source == "sound")
        chosen = [songs[number] for number in rng.permutation(len(songs))[: args.per_clip]]
        for rhythm_from in SOURCES:
            measured = [pair for song in chosen if (pair := measure(dance, song, rhythm_from)) is not None]
            if measured:
                values[rhythm_from].append((float(np.mean([m[0] for m in measured])), measured[0][1]))
    sys.stdout.write(f"{with_sound} clips whose sound has beats, trusted {trusted / max(with_sound, 1):.2f}\n")
    for rhythm_from, pairs in values.items():
        share, even = (np.array(column) for column in zip(*pairs, strict=True))
        low, high = bootstrap((share,), np.mean, rng=np.random.default_rng(0)).confidence_interval
        row = {"rhythm_from": rhythm_from, "clips": len(share), "kept": round(float(share.mean()), 2)}
        row |= {"low": round(float(low), 2), "high": round(float(high), 2), "median": round(float(np.median(share)), 2)}
        row["speed_p95_over_p5"] = round(float(np.median(even)), 2)
        text = "{rhythm_from:8} {clips} clips, kept {kept} ({low} to {high}), median {median}, even {speed_p95_over_p5}"
        sys.stdout.write((json.dumps(row) if args.json else text.format(**row)) + "\n")


if __name__ == "__main__":
    main()
