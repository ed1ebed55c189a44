"""`python -m training.preprocess`: clips to records on disk, in parallel, going on where it stopped.

    python -m training.preprocess generated OUT --clips 900 --first-seed 0
    python -m training.preprocess real OUT FOLDER [--table clips.csv]

One process a core, one thread each. A file that cannot be used is reported at the end and skipped.
A table has the columns file (below FOLDER) and, if known, song_id and source; without one every file is its own song.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mudar.errors import MudarError
from mudar.spec import FeatureSpec
from training.data.extract import GeneratedJob, Job, RealJob, extract
from training.data.store import save_record

CLIPS_PER_SONG = 3
VIDEO_SUFFIXES = {".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v"}


def generated_jobs(clips: int, first_seed: int, duration_s: float = 12.0) -> list[Job]:
    """Clips of 2/3 to 4/3 of `duration_s`, three to a song; seeds and songs of two calls are disjoint if theirs are."""
    return [
        GeneratedJob(f"gen-{seed:07d}", seed, seed // CLIPS_PER_SONG, duration_s * (8 + (seed * 7) % 9) / 12)
        for seed in range(first_seed, first_seed + clips)
    ]


def real_jobs(folder: Path, table: Path | None) -> list[Job]:
    """Every video below `folder`, or those of the table."""
    if table is None:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        return [RealJob(_name(p.relative_to(folder)), p, f"song-{_name(p.relative_to(folder))}", p.parent.name)
                for p in files]  # fmt: skip
    with table.open(newline="") as rows:
        return [
            RealJob(
                _name(Path(row["file"])), folder / row["file"], row["song_id"], Path(row["file"]).stem.split("--")[0]
            )
            for row in csv.DictReader(rows)
        ]


def _name(relative: Path) -> str:
    return str(relative.with_suffix("")).replace(os.sep, "_")


def run(jobs: list[Job], out: Path, spec: FeatureSpec, workers: int, console: Console) -> dict[str, str]:
    """Make the records that are missing; returns what failed and why."""
    todo = [job for job in jobs if not (out / f"{job.clip_id}.npz").exists()]
    failed: dict[str, str] = {}
    started, seconds = time.monotonic(), 0.0
    with Progress(console=console) as bar:
        task = bar.add_task(f"{len(todo)} of {len(jobs)} clips to do", total=max(len(todo), 1))
        for job, done in _outcomes(todo, out, spec, workers):
            if isinstance(done, MudarError):
                failed[job.clip_id] = f"{done.code}: {done.detail}"
            else:
                seconds += done
            bar.advance(task)
    wall_s = time.monotonic() - started
    console.print(f"{seconds:.0f} s of clips in {wall_s:.0f} s: {seconds / max(wall_s, 1e-9):.1f}x real time")
    for clip_id, why in sorted(failed.items()):
        console.print(f"[yellow]skipped[/] {clip_id}: {why}")
    return failed


def _outcomes(todo: list[Job], out: Path, spec: FeatureSpec, workers: int) -> Iterator[tuple[Job, float | MudarError]]:
    """Each job as it ends, with the seconds of its clip or why it cannot be used."""
    if workers <= 1 or len(todo) <= 1:
        yield from ((job, _one(job, out, spec)) for job in todo)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process whose libraries run threads may hang
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=spawn, initializer=_one_thread) as pool:
        futures = {pool.submit(_one, job, out, spec): job for job in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _one(job: Job, out: Path, spec: FeatureSpec) -> float | MudarError:
    try:
        record = extract(job, spec)
    except MudarError as error:
        return error
    save_record(out, record)
    return record.duration_s


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origin", choices=["generated", "real"])
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--clips", type=int, default=900)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.origin == "real" and args.folder is None:
        parser.error("real needs a FOLDER")
    jobs = (
        generated_jobs(args.clips, args.first_seed)
        if args.origin == "generated"
        else real_jobs(args.folder, args.table)
    )
    run(jobs, args.out, FeatureSpec(), args.workers, Console())


if __name__ == "__main__":
    main()
