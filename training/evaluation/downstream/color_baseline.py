"""Measures what the colors of a room alone tell of the music and of the style: the control beside tables 2 and 3.

    python -m training.evaluation.downstream.color_baseline colors.npz real FOLDER --table clips.csv
    python -m training.evaluation.downstream.color_baseline colors.npz generated --clips 90 --first-seed 2000000

A color histogram and a thumbnail of 8 x 8, averaged over a clip, and a ridge regression from them to the mean spectrum
of the music (or to the style). Where this beats chance, a network that sees RGB can win by knowing rooms instead of
dances. Each clip is predicted from the clips of other folds, by source and song (one large source, by song alone): as
blind to the clip as the network is. The command writes the features beside records; clip ids are those that
preprocessing gives with the same arguments, and what OUT.npz holds already stays. Knows no network.

Shapes: C clips; K color features; Y what is predicted; Q dances; N songs.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from mudar.errors import MudarError
from training.data.records import ClipFeatures
from training.data.splits import folds
from training.evaluation import metrics
from training.evaluation.inference import group_of

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Colors = Mapping[str, NDArray[np.float32]]  # clip id to (K,)

BINS: Final = 16
THUMBNAIL: Final = 8
DIM: Final = 3 * BINS + 3 * THUMBNAIL**2
RIDGES: Final = tuple(10.0**power for power in range(-1, 6))
FOLDS: Final = 4
IMAGE_SIDE_PX: Final = 64
IMAGE_EVERY_S: Final = 2.0
GENERATED_SIZE: Final = (256, 144)  # what generated dancers are filmed in here: their colors do not depend on it


def read_colors(*paths: Path) -> Colors:
    """Reads the features of every clip from all of these files."""
    colors: dict[str, NDArray[np.float32]] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            colors |= {name: data[name] for name in data.files}
    return colors


def color_features(images: Sequence[Image]) -> NDArray[np.float32]:
    """Averages the features (K,) of a clip's RGB images (H, W, 3), H and W multiples of 8."""
    return np.mean([_image_features(image) for image in images], axis=0).astype(np.float32)


def _image_features(image: Image) -> Array:
    histogram = [np.bincount(image[..., c].ravel() // (256 // BINS), minlength=BINS) for c in range(3)]
    height, width = (side // THUMBNAIL for side in image.shape[:2])
    small = image.reshape(THUMBNAIL, height, THUMBNAIL, width, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([np.concatenate(histogram) / (image.shape[0] * image.shape[1]), small.ravel()])


def ridge(train_x: Array, train_y: Array, test_x: Array) -> Array:
    """Predicts (N, Y) for (N, K) from (C, K) and (C, Y); the ridge is the one with the least leave-one-out error."""
    mean_x, spread = train_x.mean(axis=0), np.maximum(train_x.std(axis=0), 1e-6)
    x, x_test, mean_y = (train_x - mean_x) / spread, (test_x - mean_x) / spread, train_y.mean(axis=0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    y = u.T @ (train_y - mean_y)  # (K', Y)

    def error(strength: float) -> float:
        shrink = s**2 / (s**2 + strength)
        fitted = u @ (shrink[:, None] * y)
        leverage = 1.0 / len(x) + ((u**2) * shrink).sum(axis=1)
        return float((((train_y - mean_y - fitted) / np.maximum(1 - leverage, 1e-3)[:, None]) ** 2).mean())

    best = min(RIDGES, key=error)
    return np.asarray(x_test @ vt.T @ ((s / (s**2 + best))[:, None] * y) + mean_y)


def mean_mel(record: ClipFeatures, mels: int) -> Array:
    """Averages the spectrum (mels,) of the clip's music, less its own level: a song's timbre."""
    mel = record.audio[:, :mels].mean(axis=0).astype(float)
    return mel - mel.mean()


def song_scores(
    colors: Colors, train: Sequence[ClipFeatures], dances: Sequence[ClipFeatures], musics: Sequence[ClipFeatures],
    mels: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Scores (Q, N) how near each music's mean spectrum is to what the colors of each dance predict."""
    train_x, test_x = (np.array([colors[r.clip_id] for r in part], float) for part in (train, dances))
    predicted = ridge(train_x, np.array([mean_mel(r, mels) for r in train]), test_x)
    truth = np.array([mean_mel(r, mels) for r in musics])
    return -np.square(predicted[:, None] - truth[None]).sum(axis=-1).astype(np.float32)


def style_accuracy(colors: Colors, train: Sequence[ClipFeatures], test: Sequence[ClipFeatures]) -> list[float]:
    """Gives 1 for each test clip whose style the colors tell, else 0."""
    names = sorted({r.style for r in train})
    train_x, test_x = (np.array([colors[r.clip_id] for r in part], float) for part in (train, test))
    one_hot = np.array([[float(r.style == name) for name in names] for r in train])
    classes = ridge(train_x, one_hot, test_x).argmax(axis=1)
    return [float(names[i] == r.style) for i, r in zip(classes, test, strict=True)]


def add_color_control(
    measured: dict[str, Any], colors: Colors, clips: Sequence[ClipFeatures], teach: Sequence[ClipFeatures], mels: int
) -> None:
    """Adds what colors tell to one group's measurement, where every clip of it has them."""
    if any(record.clip_id not in colors for record in clips) or not measured["table3"]:
        return
    measured["table3"]["colour"] = song_table(colors, clips, mels)
    if "table2" in measured:
        measured["table2"]["colour"] = _styles(colors, [r for r in clips if r.style], teach)


def song_table(colors: Colors, clips: Sequence[ClipFeatures], mels: int) -> dict[str, dict[str, list[float]]]:
    """Makes table 3 by color."""
    songs = list(dict.fromkeys(record.song_id for record in clips))
    library = [next(record for record in clips if record.song_id == song) for song in songs]
    scores = np.zeros((len(clips), len(songs)), np.float32)
    for train, test in _fold_indices(clips):
        scores[test] = song_scores(colors, [clips[i] for i in train], [clips[i] for i in test], library, mels)
    return metrics.retrieval_columns(scores, [record.song_id for record in clips], songs)


def _styles(colors: Colors, labelled: Sequence[ClipFeatures], teach: Sequence[ClipFeatures]) -> list[float]:
    train = [r for r in teach if r.style and r.clip_id in colors and group_of(r) == group_of(labelled[0])]
    if train:
        return style_accuracy(colors, train, labelled)
    correct = np.full(len(labelled), np.nan)
    for rest, test in _fold_indices(labelled):
        correct[test] = style_accuracy(colors, [labelled[i] for i in rest], [labelled[i] for i in test])
    return [float(value) for value in correct]


def _fold_indices(clips: Sequence[ClipFeatures]) -> Iterator[tuple[list[int], list[int]]]:
    """Yields the indices (train, test) of each fold that has both."""
    source, count = Counter(record.source for record in clips).most_common(1)[0]
    large = frozenset({source}) if count > len(clips) / 2 else frozenset[str]()
    index = {record.clip_id: i for i, record in enumerate(clips)}
    for fold in folds(list(clips), FOLDS, 0, large):
        test = sorted({index[clip_id] for clip_id in fold})
        train = [i for i in range(len(clips)) if i not in set(test)]
        if train and test:
            yield train, test


def sample_images(job: Any) -> Iterator[Image]:
    """Yields an image of 64 x 64 every two seconds of a preprocessing job's clip."""
    import cv2

    from mudar.media.decode.video import iter_frames
    from training.data.extract import RealJob
    from training.data.synthetic.clip import make_clip

    side = (IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    if isinstance(job, RealJob):
        yield from (frame.image for frame in iter_frames(job.path, fps=1 / IMAGE_EVERY_S, size=side))
        return
    clip = make_clip(job.seed, job.duration_s, song_seed=job.song_seed, sample_rate_hz=8000)
    for image in clip.dance.frames(1 / IMAGE_EVERY_S, *GENERATED_SIZE):
        yield np.asarray(cv2.resize(image, side, interpolation=cv2.INTER_AREA), np.uint8)


def main() -> None:
    """Writes the color features of the clips that the command line names."""
    from training.preprocess import generated_jobs, real_jobs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("origin", choices=["generated", "real"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--clips", type=int, default=90)
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    jobs = (
        generated_jobs(args.clips, args.first_seed)
        if args.origin == "generated"
        else real_jobs(args.folder, args.table)
    )
    colors = dict(read_colors(args.out)) if args.out.exists() else {}
    for job in track([job for job in jobs if job.clip_id not in colors], "colors"):
        try:
            colors[job.clip_id] = color_features(list(sample_images(job)))
        except MudarError as error:
            Console().print(f"skipped {job.clip_id}: {error.detail}")
    np.savez(args.out, **colors)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
