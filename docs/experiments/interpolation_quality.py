"""Measures the frames between frames: real ones are left out and made again from their neighbours.

    python docs/experiments/interpolation_quality.py FOLDER [--moments N] [--json]

Of each clip the moments of most motion that are no cuts; the frame in the middle of three is made from the outer two,
which lie twice as far apart as a rendering's. Judged where the outer two differ, on luma: mean difference in grey
levels, and structural similarity (Wang et al. 2004), which a ghost costs more than a shift. A pixel is a
ghost where the outer frames differ plainly and the made one shows a mixture of both that the real one does not; a frame
is visibly doubled when it has half as many ghosts as a cross-fade of the same two.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.errors import MudarError
from mudar.media.interpolation.cuts import CutDetector, small_luma
from mudar.media.interpolation.interpolator import make_interpolator
from mudar.media.interpolation.yuv import Plane, planes
from mudar.media.render import source

Triplet = tuple[av.VideoFrame, av.VideoFrame, av.VideoFrame]
LONGEST_S = 9.0  # of each clip
MIN_DISTANCE = 8  # frames between two moments of one clip
DIFFERENT = 12  # grey levels by which the outer frames differ where it counts,
PLAIN = 40  # where a mixture of them is seen as one,
MIXED = 0.25  # if it lies at least this share of the way from both,
UNLIKE = 20  # and differs from the real frame by this much
DOUBLED = 0.5  # of a cross-fade's ghosts make a frame visibly doubled


def triplets(path: Path, moments: int) -> Iterator[Triplet]:
    """Yields three neighbouring frames at the moments of most motion that are no cut and no repetition."""
    frames, steps, cuts = [], [], CutDetector()
    for time_s, frame in source.frames(path, source.inspect_video(path)):
        if time_s > LONGEST_S:
            break
        if frames:
            still = cv2.absdiff(small_luma(frames[-1]), small_luma(frame)).mean()
            steps.append(-1.0 if cuts(frames[-1], frame) else float(still))
        frames.append(frame)
    pairs = [(min(a, b), max(a, b)) for a, b in itertools.pairwise(steps)]
    able = [k for k, (low, high) in enumerate(pairs) if low > max(0.2, 0.4 * high)]
    chosen: list[int] = []
    for k in sorted(able, key=lambda k: -sum(pairs[k])):
        if len(chosen) < moments and all(abs(k - other) > MIN_DISTANCE for other in chosen):
            chosen.append(k)
    yield from ((frames[k], frames[k + 1], frames[k + 2]) for k in chosen)


def structural_similarity(made: Plane, true: Plane) -> NDArray[np.float32]:
    """Computes the structural similarity (Wang et al. 2004) pixel by pixel."""
    x, y = made.astype(np.float32), true.astype(np.float32)

    def mean(z: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(z, (7, 7), 1.5))

    mx, my = mean(x), mean(y)
    spread = mean(x * x) - mx * mx + mean(y * y) - my * my
    shared = mean(x * y) - mx * my
    return np.asarray((2 * mx * my + 6.5) * (2 * shared + 58.5) / ((mx * mx + my * my + 6.5) * (spread + 58.5)))


def ghosts(made: Plane, true: Plane, a: Plane, b: Plane) -> int:
    """Counts the pixels that visibly show both outer frames at once."""
    apart = cv2.absdiff(a, b).astype(np.float32)
    nearest = np.minimum(cv2.absdiff(made, a), cv2.absdiff(made, b))
    return int(((apart > PLAIN) & (nearest > MIXED * apart) & (cv2.absdiff(made, true) > UNLIKE)).sum())


def scores(name: str, first: av.VideoFrame, true: av.VideoFrame, second: av.VideoFrame) -> tuple[float, float, float]:
    """Computes (mean difference, similarity, 1 for a doubled frame) of the frame made by this interpolation."""
    make = make_interpolator(name)
    made = make(first, second, [0.5])[0] if make is not None else None
    luma, truth, a, b = (planes(f)[0] for f in (made or first, true, first, second))
    moving = cv2.dilate((cv2.absdiff(a, b) > DIFFERENT).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    similarity = structural_similarity(luma, truth)[moving].mean()
    faded = ghosts(cv2.addWeighted(a, 0.5, b, 0.5, 0.0), truth, a, b)
    doubled = faded > 0 and ghosts(luma, truth, a, b) > DOUBLED * faded
    return float(cv2.absdiff(luma, truth)[moving].mean()), float(similarity), float(doubled)


def main() -> None:
    """Prints a line for each interpolation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--moments", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    scores_of: dict[str, list[tuple[float, float, float]]] = {"nearest": [], "blend": [], "flow": []}
    for path in sorted(args.folder.rglob("*.mp4")):
        try:
            for first, true, second in triplets(path, args.moments):
                for name, rows in scores_of.items():
                    rows.append(scores(name, first, true, second))
        except MudarError as error:
            print(f"{path.name}: {error.detail}")
    for name, rows in scores_of.items():
        off, like, doubled = np.mean(rows, axis=0)
        figures = {"frames": name, "moments": len(rows), "grey_levels_off": round(float(off), 2)}
        figures |= {"structural_similarity": round(float(like), 3)}
        figures["share_doubled"] = round(float(doubled), 3)
        print(json.dumps(figures) if args.json else "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
