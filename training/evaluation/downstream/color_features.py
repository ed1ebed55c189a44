"""`python -m training.evaluation.downstream.color_features OUT.npz …`: colour features beside records, for the control.

    python -m training.evaluation.downstream.color_features colours.npz real FOLDER --table clips.csv
    python -m training.evaluation.downstream.color_features colours.npz generated --clips 90 --first-seed 2000000

Clip ids are those that preprocessing gives with the same arguments. What OUT.npz holds already is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mudar.errors import MudarError
from mudar.media.decode.video import iter_frames
from training.data.extract import GeneratedJob, Job, RealJob
from training.data.synthetic.clip import make_clip
from training.evaluation.downstream.color_baseline import colour_of, read_colours
from training.preprocess import generated_jobs, real_jobs

SIDE = 64
EVERY_S = 2.0
SHAPE = (256, 144)  # what generated dancers are filmed in here: their colours do not depend on it


def pictures(job: Job) -> Iterator[NDArray[np.uint8]]:
    """A picture of 64 x 64 every two seconds."""
    if isinstance(job, RealJob):
        yield from (f.image for f in iter_frames(job.path, fps=1 / EVERY_S, size=(SIDE, SIDE)))
        return
    clip = make_clip(job.seed, job.duration_s, song_seed=job.song_seed, sample_rate_hz=8000)
    for image in clip.dance.frames(1 / EVERY_S, *SHAPE):
        yield np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("origin", choices=["generated", "real"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--clips", type=int, default=90)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    jobs: list[RealJob] | list[GeneratedJob] | list[Job]
    jobs = (
        generated_jobs(args.clips, args.first_seed)
        if args.origin == "generated"
        else real_jobs(args.folder, args.table)
    )
    found = dict(read_colours(args.out)) if args.out.exists() else {}
    for job in track([job for job in jobs if job.clip_id not in found], "colours"):
        try:
            found[job.clip_id] = colour_of(list(pictures(job)))
        except MudarError as error:
            Console().print(f"skipped {job.clip_id}: {error.detail}")
    np.savez(args.out, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
