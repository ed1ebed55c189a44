"""Renders real dances on other songs and measures the files: `make bench-retarget`, every figure beside its chance.

Clips and songs fall into two halves that share no source (split.py): settings were chosen on `tune`, and `held-out`
only judges them. The independent detector reads the pixels of the rendered file, and which moment of the source a frame
shows is found by comparing pictures, not by asking the renderer. Intervals are over sources, not over pairs, since two
clips of one room are not independent. Generated dancers, whose strokes are known, follow (generated.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.errors import MediaError, RetargetRefused
from mudar.media.decode.container import open_media
from mudar.records import Analysis
from mudar.retarget.report.impact_detector import ImpactDetector, detect_impacts_of_frames
from mudar.retarget.retarget import AnalyzedFile, retarget
from mudar.retarget.settings import RetargetSettings
from mudar.rhythm.metrics import chance_level, hit_share
from tests.bench.retarget import transcode
from tests.bench.retargeting.generated import dancers
from tests.bench.retargeting.shown_frames import landing_errors, repeated_share
from tests.bench.retargeting.split import SIDES, pairs, source_of
from tests.bench.retargeting.visbeat import VisbeatFailed, render_with_visbeat

Row = dict[str, Any]
INTERPOLATIONS = ("nearest", "blend", "flow")
Floats = NDArray[np.float64]
BOOTSTRAPS = 2000
NEAR_S = 0.1  # an impact that is this near a beat counts as meant for it
GOALS = {
    "landing_p95_frames": ("<=", 0.5),
    "beats_hit": (">=", 0.75),
    "lift": (">", 0.0),
    "jerk_ratio": ("<=", 1.3),
    "source_used": (">=", 0.8),
    "av_difference_ms": ("<=", 10.0),
    "speed_p1": (">=", 0.67),
    "speed_p99": ("<=", 1.5),
    "duplicates_added": ("<=", 0.05),
    "truth_landed": (">=", 0.95),
}


def measure_pair(
    clip: Path,
    song: Path,
    out: Path,
    rhythms: tuple[Analysis, Analysis],
    source: ImpactDetector,
    settings: RetargetSettings,
) -> Row:
    """Retargets one pair and measures the file. `source` is the detector that has read the clip."""
    dance, music = rhythms
    began = time.process_time()
    pair = AnalyzedFile(clip, dance.rhythm), AnalyzedFile(song, music.rhythm)
    report = retarget(*pair, out, dataclasses.replace(settings, verify=False)).report
    spent_s = time.process_time() - began
    duration_s, fps = float(report["duration_s"]), float(report["fps"])
    before = source.impacts().times_s - float(report["time_map"]["source_s"][0])
    before = before[(before >= 0) & (before < duration_s)]
    beats_s = np.array(report["beats"]["output_s"])
    landings = (np.array(report["landings"][name]) for name in ("output_s", "source_s"))
    errors = landing_errors(clip, out, *landings, fps) * fps
    return {
        "beats_before": hit_share(beats_s, before, 1 / fps),
        **measure_file(clip, out, beats_s, source, fps, duration_s),
        "own_beats_hit": report["beats_hit"]["after"], "own_chance": report["beats_hit"]["chance"],
        "landings": len(errors), "landing_p95_frames": float(np.percentile(errors, 95)) if len(errors) else None,
        "speed_p1": report["speed"]["p1"], "speed_p99": report["speed"]["p99"],
        "source_used": report["source_used"], "av_difference_ms": report["av_length_difference_ms"], "cpu_s": spent_s,
    }  # fmt: skip


def measure_file(clip: Path, out: Path, beats_s: Floats, source: ImpactDetector, fps: float, duration_s: float) -> Row:
    """Measures a rendered file, ours or a peer's, at these beats. `source` is the detector that has read the clip."""
    made = detect_impacts_of_frames(out)
    after, hit = made.impacts().times_s, partial(hit_share, beats_s, tolerance_s=1 / fps)
    chance, lags_s = chance_level(hit, after, duration_s), np.arange(-8, 9) / fps / 2
    return {
        "beats_hit": hit(after), "chance": chance, "lift": hit(after) - chance,
        "best_lag_hit": max(hit(after + lag) for lag in lags_s), "late_ms": late_ms(after, beats_s),
        "jerk_ratio": (made.jerk() or 0.0) / (source.jerk() or 1.0),
        "duplicates_added": repeated_share(out) - repeated_share(clip), "seconds": duration_s,
    }  # fmt: skip


def late_ms(impacts_s: Floats, beats_s: Floats) -> float | None:
    """Computes by how many ms the impacts near a beat come after it, in the median; None where none is near."""
    if not len(beats_s) or not len(impacts_s):
        return None
    away = impacts_s[:, None] - beats_s[None, :]
    nearest = away[np.arange(len(away)), np.abs(away).argmin(axis=1)]
    near = nearest[np.abs(nearest) <= NEAR_S]
    return float(1000 * np.median(near)) if len(near) else None


def real_pairs(embedder: Embedder, args: argparse.Namespace, which: str, keep: Path) -> Iterator[Row]:
    """Yields a row for each pair of this half and each interpolation."""
    songs: dict[Path, Analysis] = {}
    for number, (clip, song) in enumerate(pairs(args.clips, args.music, which, args.pairs)):
        songs[song] = songs.get(song) or embedder.music(song)
        dance, source = embedder.dance(clip), detect_impacts_of_frames(clip)
        plain_s = None
        for way in args.interpolation:
            about = {"side": which, "source": source_of(clip), "clip": clip.stem, "song": song.stem, "way": way}
            out = keep / f"{which}-{number:02d}-{way}.mp4"
            try:
                settings = RetargetSettings(interpolation=way, accent=args.accent)
                row = measure_pair(clip, song, out, (dance, songs[song]), source, settings)
            except RetargetRefused as refused:
                yield about | {"refused": refused.detail}
                break
            if plain_s is None:
                began = time.process_time()
                transcode(clip, keep / "plain.mp4", row["seconds"])
                plain_s = time.process_time() - began
            yield about | row | {"over_transcode": row["cpu_s"] / plain_s}
        if args.visbeat:
            about = {"side": which, "source": source_of(clip), "clip": clip.stem, "song": song.stem, "way": "visbeat3"}
            out = keep / f"{which}-{number:02d}-visbeat3.mp4"
            try:
                spent_s = render_with_visbeat(args.visbeat.absolute(), clip.resolve(), song.resolve(), out.resolve())
                beats_s = np.asarray(embedder.music(out).rhythm.beats_s, float)
            except (VisbeatFailed, MediaError) as failed:  # some of its files are too short to be analysed
                yield about | {"refused": str(failed)}
                continue
            with open_media(out) as made:
                stream = made.streams.video[0]
                fps, duration_s = float(stream.average_rate), float(stream.duration * stream.time_base)
            row = measure_file(clip, out, beats_s, source, fps, duration_s)
            yield about | row | {"cpu_s": spent_s, "over_transcode": spent_s / plain_s if plain_s else None}


def interval(rows: list[Row], name: str) -> tuple[float, float, float]:
    """Computes the mean over the sources and its 95 % bootstrap interval over them."""
    by_source: dict[str, list[float]] = {}
    for row in rows:
        if row[name] is not None:
            by_source.setdefault(row["source"], []).append(float(row[name]))
    sample = np.array([np.mean(values) for values in by_source.values()])
    if not len(sample):
        return float("nan"), float("nan"), float("nan")
    means = np.random.default_rng(0).choice(sample, (BOOTSTRAPS, len(sample))).mean(axis=1)
    return float(sample.mean()), *(float(q) for q in np.percentile(means, [2.5, 97.5]))


def summary(rows: list[Row], what: str) -> Iterator[Row]:
    """Yields each figure over all rows, beside its goal."""
    done = [row for row in rows if "refused" not in row]
    for name in done[0] if done else ():
        if isinstance(done[0][name], str) or name == "dancer":
            continue
        mean, low, high = interval(done, name)
        sign, goal = GOALS.get(name, ("", None))
        reached = None
        if goal is not None:
            value = low if sign == ">" else mean
            reached = value >= goal if sign in (">=", ">") else value <= goal
        yield {
            "what": what, "figure": name, "mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)],
            "goal": f"{sign} {goal:g}" if goal is not None else "", "reached": reached, "rows": len(done),
            "refused": len(rows) - len(done),
        }  # fmt: skip


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="a folder of clips, SOURCE--name.mp4; default: none")
    parser.add_argument("--music", type=Path, help="a folder of songs")
    parser.add_argument("--pairs", type=int, default=16, help="at most, of each half")
    parser.add_argument("--dancers", type=int, default=36, help="of each half")
    parser.add_argument("--dancers-after", type=int, default=0, help="leave out the first so many")
    parser.add_argument("--side", choices=[*SIDES, "both"], default="held-out")
    parser.add_argument("--interpolation", nargs="+", choices=INTERPOLATIONS, default=["nearest", "blend", "flow"])
    parser.add_argument("--accent", type=float, default=RetargetSettings().accent)
    parser.add_argument("--visbeat", type=Path, metavar="PYTHON", help="of an environment with visbeat3, the peer")
    parser.add_argument("--keep", type=Path, help="a folder for the rendered files")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measures all pairs, then the generated dancers, and prints JSON lines or a table."""
    args = arguments()
    embedder = Embedder.from_loaded(load_served())
    rows: list[Row] = []

    def collect(lines: Iterable[Row]) -> None:
        for line in lines:
            rows.append(line)
            print(json.dumps(line), flush=True, file=sys.stdout if args.json else sys.stderr)

    sides = SIDES if args.side == "both" else (args.side,)
    with tempfile.TemporaryDirectory() as scratch:
        keep = args.keep or Path(scratch)
        keep.mkdir(exist_ok=True, parents=True)
        for which in sides:
            if args.clips and args.music:
                collect(real_pairs(embedder, args, which, keep))
            collect(dancers(embedder, Path(scratch), which, args.dancers, args.dancers_after))
    figures: list[Row] = []
    for which in sides:
        rows_of_side = [row for row in rows if row["side"] == which]
        for way in [*args.interpolation, *(["visbeat3"] if args.visbeat else [])]:
            figures += summary([row for row in rows_of_side if row.get("way") == way], f"{which}, {way}")
        for name in ("truth", "hand", "network"):
            figures += summary(
                [row for row in rows_of_side if row.get("strokes") == name], f"{which}, dancers by {name}"
            )
    if args.json:
        print("\n".join(json.dumps(line) for line in figures))
    else:
        _show(figures)


def _show(figures: list[Row]) -> None:
    table = Table(title="Retargeting: mean over sources and 95 % interval")
    for column in ("what", "figure", "mean", "interval", "goal", "reached"):
        table.add_column(column)
    for line in figures:
        reached = {None: "", True: "ok", False: "MISSED"}[line["reached"]]
        low, high = line["interval"]
        cells = f"{line['mean']:.3f}", f"{low:.3f} to {high:.3f}"
        table.add_row(line["what"], line["figure"], *cells, line["goal"], reached)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
