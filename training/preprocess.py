"""Preprocesses clips to records on disk, in parallel; a run that was killed goes on where it stopped.

    python -m training.preprocess generated OUT --clips 900 --first-seed 0
    python -m training.preprocess real OUT FOLDER [--table clips.csv]
    python -m training.preprocess real OUT FOLDER --shards --frames --recipe paper/dis

Each file is decoded once, by one process with one thread. Without `--shards` a record is one file, for sets that fit
in memory; with it records lie together in WebDataset shards, of any size. A file that cannot be used is reported at
the end, in OUT/failed.json too, and skipped. A table has the columns file (below FOLDER) and, if known, song_id and
source; without one every file is its own song, and its folder is its source and its label.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import resource
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import Progress

from mudar.errors import MudarError
from mudar.spec import FeatureSpec, FlowShape
from training.data.extract import MOTION_ALONE, FrameSource, GeneratedJob, Job, RealJob, extract
from training.data.records import save_record
from training.data.shard_writer import ShardWriter
from training.data.shards import pieces, write_part
from training.process_pool import WorkerCrashed, map_processes

CLIPS_PER_SONG = 3
VIDEO_SUFFIXES = {".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"}


def generated_jobs(clips: int, first_seed: int, duration_s: float = 12.0) -> list[Job]:
    """Lists clips of 2/3 to 4/3 of `duration_s`, three to a song; calls with disjoint seeds have disjoint songs."""
    return [
        GeneratedJob(f"gen-{seed:07d}", seed, seed // CLIPS_PER_SONG, duration_s * (8 + (seed * 7) % 9) / 12)
        for seed in range(first_seed, first_seed + clips)
    ]


def real_jobs(folder: Path, table: Path | None) -> list[Job]:
    """Lists every video below `folder`, or those of the table."""
    if table is None:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        return [RealJob(_name(p.relative_to(folder)), p, f"song-{_name(p.relative_to(folder))}", p.parent.name,
                        p.parent.name if p.parent != folder else "") for p in files]  # fmt: skip
    with table.open(newline="") as rows:
        return [
            RealJob(
                _name(Path(row["file"])), folder / row["file"], row["song_id"], Path(row["file"]).stem.split("--")[0]
            )
            for row in csv.DictReader(rows)
        ]


def _name(relative: Path) -> str:
    return str(relative.with_suffix("")).replace(os.sep, "_")


@dataclass(frozen=True)
class Extractor:
    """Makes the record of a job in a process; returns the seconds of its clip, or why it cannot be used."""

    out: Path
    spec: FeatureSpec
    frame_source: FrameSource = MOTION_ALONE
    shards: bool = False

    def __call__(self, job: Job) -> float | MudarError:
        """Make the record and leave it on disk."""
        try:
            record = extract(job, self.spec, self.frame_source)
        except MudarError as error:
            return error
        if self.shards:
            cut = pieces(record, self.spec.video.fps, self.spec.audio.frame_rate_hz)
            write_part(self.out / "parts" / f"{_part_name(job)}.tar", cut)
        else:
            save_record(self.out, record)
        return record.duration_s


def _part_name(job: Job) -> str:
    return job.clip_id.replace(".", "_")


def run(jobs: list[Job], extractor: Extractor, workers: int, console: Console) -> dict[str, str]:
    """Makes the records that are missing; returns what failed and why."""
    out, shards = extractor.out, extractor.shards
    packer = ShardWriter(out, extractor.spec) if shards else None
    there = packer.done if packer else {path.stem for path in out.glob("*.npz")}
    todo = [job for job in jobs if (_part_name(job) if shards else job.clip_id) not in there]
    failed: dict[str, str] = {}
    started, busy_s, seconds = time.monotonic(), _processor_s(), 0.0
    with Progress(console=console) as bar:
        task = bar.add_task(f"{len(todo)} of {len(jobs)} clips to do", total=max(len(todo), 1))
        for job, done in map_processes(extractor, todo, workers):
            if isinstance(done, MudarError):
                failed[job.clip_id] = f"{done.code}: {done.detail}"
            elif isinstance(done, WorkerCrashed):
                failed[job.clip_id] = "crashed: the process that read it died"
            else:
                seconds += done
                if packer:
                    packer.add(packer.parts / f"{_part_name(job)}.tar")
            bar.advance(task)
    if packer:
        packer.pack()
    wall_s = max(time.monotonic() - started, 1e-9)
    busy_s = _processor_s() - busy_s
    console.print(
        f"{seconds:.0f} s of clips in {wall_s:.0f} s: {seconds / wall_s:.1f}x real time; "
        f"{busy_s:.0f} processor seconds: {seconds / max(busy_s, 1e-9):.1f}x real time a core"
    )
    _report(failed, out, console)
    return failed


def _processor_s() -> float:
    """Of this process and of all that it has waited for: what other work on the machine takes does not count."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _report(failed: dict[str, str], out: Path, console: Console) -> None:
    for clip_id, why in sorted(failed.items()):
        console.print(f"[yellow]skipped[/] {clip_id}: {why}")
    if failed:
        (out / "failed.json").write_text(json.dumps(failed, indent=1))


def parse_jobs(args: argparse.Namespace) -> list[Job]:
    """Lists the jobs that the command line names."""
    if args.origin == "generated":
        return generated_jobs(args.clips, args.first_seed, args.seconds)
    return unique_names([job for folder in args.folder for job in real_jobs(folder, args.table)])


def unique_names(jobs: list[Job]) -> list[Job]:
    """Renames jobs that share a name (`a.mp4` and `a.mov`, or the same name in two folders) by their path."""
    often = Counter(_part_name(job) for job in jobs)
    return [
        replace(job, clip_id=f"{job.clip_id}-{hashlib.blake2b(str(job.path).encode(), digest_size=3).hexdigest()}")
        if isinstance(job, RealJob) and often[_part_name(job)] > 1
        else job
        for job in jobs
    ]


def main() -> None:
    """Preprocesses the clips that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origin", choices=["generated", "real"])
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path, nargs="*")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--clips", type=int, default=900)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=12.0, help="usual length of a generated clip")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shards", action="store_true", help="WebDataset shards in place of a file for each clip")
    parser.add_argument("--frames", action="store_true", help="keep the frames, for networks that look at them")
    parser.add_argument("--recipe", default="small", help="whose features these are")
    parser.add_argument(
        "--flow-shape",
        choices=get_args(FlowShape),
        help="instead of the recipe's: see training.tools.convert_flow_shape",
    )
    parser.add_argument("--flow-weights", type=Path, help="PWC-Net's, where the recipe's flow is its")
    args = parser.parse_args()
    if (args.origin == "real") != bool(args.folder):
        parser.error("real needs a FOLDER, generated none")
    if args.frames and not args.shards:
        parser.error("--frames needs --shards: frames live in shards alone")
    from training.recipes import registry

    frame_source = FrameSource(args.frames, args.flow_weights)
    spec = registry.get(args.recipe).features
    if args.flow_shape:
        spec = replace(spec, video=replace(spec.video, flow_shape=args.flow_shape))
    run(parse_jobs(args), Extractor(args.out, spec, frame_source, args.shards), args.workers, Console())


if __name__ == "__main__":
    main()
