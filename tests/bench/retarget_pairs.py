"""`make bench-retarget`: how well real dances land on other songs, every figure beside its chance, read from the files.

Pairs: clips of a folder (its `full/`, and others evenly chosen) with songs of another, in turn. What is judged is the
rendered file: the independent detector looks at its pixels, and which moment of the source a frame shows is found by
comparing pictures, not asked of the renderer. Then dancers drawn by us, whose strokes are known.
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
from mudar.errors import RetargetRefused
from mudar.media.decode import iter_frames
from mudar.records import Analysis, Rhythm
from mudar.retarget.independent import watched
from mudar.retarget.metrics import by_chance, hit_share
from mudar.retarget.retarget import retarget
from mudar.retarget.settings import RetargetSettings
from tests.bench.retarget import transcode
from training.data.clip import write_clip, write_song

Floats = NDArray[np.float64]
THUMB_PX = 48
SEARCH_S = 0.25  # how far from the promise a frame's moment is looked for
BOOTSTRAPS = 2000
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


def chosen_clips(folder: Path, count: int) -> list[Path]:
    """Those in `full/`, and as many others, evenly spread over the sorted rest, as make up `count`."""
    full, rest = sorted((folder / "full").glob("*.mp4")), sorted(folder.glob("[!f]*/*.mp4"))
    picked = np.linspace(0, len(rest) - 1, max(0, count - len(full))).round().astype(int) if rest else []
    return [*full, *(rest[k] for k in picked)]


def songs(folder: Path) -> list[Path]:
    """All but the click track."""
    return [
        p for p in sorted(folder.iterdir()) if p.suffix in (".ogg", ".flac", ".mp3", ".wav") and "click" not in p.name
    ]


def thumbs(path: Path) -> tuple[Floats, Floats]:
    """(F,) seconds and (F, P) small grey pictures of all frames."""
    seen = [(f.time_s, f.image.ravel()) for f in iter_frames(path, fps=None, size=(THUMB_PX, THUMB_PX), pixel="gray")]
    times, pictures = zip(*seen, strict=True)
    return np.array(times), np.stack(pictures).astype(np.float64)


def moment_shown(picture: Floats, near_s: float, times: Floats, pictures: Floats) -> float:
    """The source second that a picture shows: the nearest point on the lines between neighbouring source frames."""
    low, high = np.searchsorted(times, [near_s - SEARCH_S, near_s + SEARCH_S])
    first, second = pictures[low : high - 1], pictures[low + 1 : high]
    step = second - first
    length = np.maximum((step**2).sum(axis=1), 1e-9)
    share = np.clip(((picture - first) * step).sum(axis=1) / length, 0, 1)
    away = ((first + share[:, None] * step - picture) ** 2).sum(axis=1)
    best = int(np.argmin(away))
    return float(times[low + best] + share[best] * (times[low + best + 1] - times[low + best]))


def landing_errors(source: Path, made: Path, report: dict[str, Any]) -> Floats:
    """(K,) seconds by which the landings miss in the finished file, by its pictures alone."""
    times, pictures = thumbs(source)
    _, shown = thumbs(made)
    fps, missed = float(report["fps"]), []
    for at_s, stroke_s in zip(report["landings"]["output_s"], report["landings"]["source_s"], strict=True):
        first = int(np.floor(at_s * fps))
        if not 0 <= first < len(shown) - 1 or not times[1] < stroke_s < times[-2]:
            continue
        a, b = (moment_shown(shown[first + k], stroke_s, times, pictures) for k in (0, 1))
        if b - a > 0.2 / fps:
            missed.append(abs((first + (stroke_s - a) / (b - a)) / fps - at_s))
    return np.array(missed)


def measured(
    clip: Path, song: Path, out: Path, dance: Analysis, music: Analysis, wish: RetargetSettings
) -> dict[str, Any]:
    """One pair, read back from what was written."""
    began = time.perf_counter()
    report = retarget(clip, song, out, dance.rhythm, music.rhythm, dataclasses.replace(wish, verify=False)).report
    wall_s = time.perf_counter() - began
    duration_s, fps = float(report["duration_s"]), float(report["fps"])
    source, made = watched(clip), watched(out)
    start_s = float(report["time_map"]["source_s"][0])
    before = source.impacts().times_s - start_s
    before = before[(before >= 0) & (before < duration_s)]
    after = made.impacts().times_s
    hit = partial(hit_share, report["beats"]["output_s"], tolerance_s=1 / fps)
    chance = by_chance(hit, after, duration_s)
    lags_s = np.arange(-8, 9) / fps / 2
    errors = landing_errors(clip, out, report) * fps
    return {
        "clip": clip.stem[:28], "song": song.stem[:14], "interpolation": wish.interpolation,
        "beats_before": hit(before), "beats_hit": hit(after), "chance": chance, "lift": hit(after) - chance,
        "best_lag_hit": max(hit(after + lag) for lag in lags_s),
        "own_beats_hit": report["beats_hit"]["after"], "own_chance": report["beats_hit"]["chance"],
        "landings": len(errors), "landing_p95_frames": float(np.percentile(errors, 95)) if len(errors) else None,
        "jerk_ratio": (made.jerk() or 0.0) / (source.jerk() or 1.0),
        "speed_p1": report["speed"]["p1"], "speed_p99": report["speed"]["p99"], "octave": report["tempo"]["octave"],
        "source_used": report["source_used"], "av_difference_ms": report["av_length_difference_ms"],
        "duplicates_added": _repeats(out) - _repeats(clip), "seconds": duration_s, "wall_s": wall_s,
    }  # fmt: skip


def _repeats(path: Path) -> float:
    """The share of frames that are the one before once more."""
    _, pictures = thumbs(path)
    return float((np.abs(np.diff(pictures, axis=0)).mean(axis=1) < 0.15).mean())


def generated(embedder: Embedder, folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Dancers whose strokes are known, on a song that is not theirs: how many true strokes land within a frame.

    `truth`: the strokes are given, as a user who edits them gives them; else they are the network's.
    """
    for seed in range(70_001, 70_001 + count):
        clip, song, out = (folder / name for name in ("dancer.mp4", "song.flac", "out.mp4"))
        truth = write_clip(clip, seed=seed, duration_s=14.0, width=320, height=180)
        write_song(song, seed=seed + 500, duration_s=30.0)
        dance, music = embedder.dance(clip).rhythm, embedder.music(song).rhythm
        strokes = np.array(truth.strokes_s, np.float32)
        given = Rhythm(strokes, np.ones(len(strokes), np.float32), dance.curve, dance.fps, truth.tempo_bpm)
        for name, rhythm in (("truth", given), ("network", dance)):
            try:
                report = retarget(clip, song, out, rhythm, music, RetargetSettings(verify=False)).report
            except RetargetRefused as refused:
                yield {"dancer": seed, "strokes": name, "refused": refused.detail}
                continue
            times, pictures = thumbs(clip)
            at, shown = thumbs(out)
            moments = np.array(
                [moment_shown(p, s, times, pictures) for p, s in zip(shown, _shown(report, at), strict=True)]
            )
            moments = np.maximum.accumulate(moments)
            landed_s = np.interp(strokes, moments, at)
            knots = np.array(report["landings"]["output_s"])
            knots = knots[(knots > at[1]) & (knots < at[-2])]
            away = np.abs(knots[:, None] - landed_s[None, :]).min(axis=1)
            yield {
                "dancer": seed, "strokes": name, "style": truth.style, "landings": len(knots),
                "truth_landed": float((away <= 1 / report["fps"]).mean()),
            }  # fmt: skip


def _shown(report: dict[str, Any], at: Floats) -> Floats:
    return np.interp(at, report["time_map"]["output_s"], report["time_map"]["source_s"])


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean, and its 95 % bootstrap interval over pairs."""
    sample = np.array([v for v in values if v is not None], float)
    rng = np.random.default_rng(0)
    means = rng.choice(sample, (BOOTSTRAPS, len(sample))).mean(axis=1)
    return float(sample.mean()), *(float(q) for q in np.percentile(means, [2.5, 97.5]))


def summary(rows: list[dict[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    """The figures over all pairs, beside their goals."""
    for name in rows[0]:
        if isinstance(rows[0][name], str) or name in ("octave", "dancer"):
            continue
        mean, low, high = interval(row[name] for row in rows)
        sign, goal = GOALS.get(name, ("", None))
        reached = None
        if goal is not None:
            value = low if sign == ">" else mean
            reached = value >= goal if sign in (">=", ">") else value <= goal
        yield {
            "what": what, "figure": name, "mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)],
            "goal": f"{sign} {goal:g}" if goal is not None else "", "reached": reached,
        }  # fmt: skip


def main() -> None:
    """All pairs, then the generated dancers; JSON lines or a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path("../shared/clips"))
    parser.add_argument("--music", type=Path, default=Path("../shared/music"))
    parser.add_argument("--pairs", type=int, default=14)
    parser.add_argument("--dancers", type=int, default=6)
    parser.add_argument("--interpolation", default="blend")
    parser.add_argument("--keep", type=Path, help="a folder for the rendered files")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    embedder = Embedder.from_loaded(load_served())
    lines: list[dict[str, Any]] = []

    def tell(line: dict[str, Any]) -> None:
        lines.append(line)
        print(json.dumps(line) if args.json else line, flush=True, file=sys.stdout if args.json else sys.stderr)

    with tempfile.TemporaryDirectory() as scratch:
        keep = args.keep or Path(scratch)
        keep.mkdir(exist_ok=True)
        rows: list[dict[str, Any]] = []
        heard: dict[Path, Analysis] = {}
        music = songs(args.music) if args.music.is_dir() else []
        for number, clip in enumerate(chosen_clips(args.clips, args.pairs) if music else []):
            song, out = music[number % len(music)], keep / f"{number:02d}-{args.interpolation}.mp4"
            heard[song] = heard.get(song) or embedder.music(song)
            try:
                wish = RetargetSettings(interpolation=args.interpolation)
                row = measured(clip, song, out, embedder.dance(clip), heard[song], wish)
            except RetargetRefused as refused:
                tell({"clip": clip.stem, "song": song.stem, "refused": refused.detail})
                continue
            began = time.perf_counter()
            transcode(clip, Path(scratch) / "plain.mp4", row["seconds"])
            row["over_transcode"] = row["wall_s"] / (time.perf_counter() - began)
            rows.append(row)
            tell(row)
        told = list(summary(rows, f"pairs, {args.interpolation}")) if rows else []
        drawn = []
        for line in generated(embedder, Path(scratch), args.dancers):
            tell(line)
            drawn.append(line)
        for name in ("truth", "network"):
            some = [d for d in drawn if d["strokes"] == name and "refused" not in d]
            told += list(summary(some, f"dancers, strokes by {name}")) if some else []
    if args.json:
        for line in told:
            print(json.dumps(line))
    else:
        _show(told)


def _show(told: list[dict[str, Any]]) -> None:
    table = Table(title="Retargeting, over pairs: mean and 95 % interval")
    for column in ("what", "figure", "mean", "interval", "goal", "reached"):
        table.add_column(column)
    for line in told:
        reached = {None: "", True: "ok", False: "MISSED"}[line["reached"]]
        low, high = line["interval"]
        table.add_row(
            line["what"], line["figure"], f"{line['mean']:.3f}", f"{low:.3f} to {high:.3f}", line["goal"], reached
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
