"""The control by colour: what the look of a room alone tells of the music and of the style. numpy only.

A colour histogram and a thumbnail of 8 x 8, averaged over a clip, and a ridge regression from them to the mean
spectrum of the music (or to the style). Where this beats chance, a network that sees RGB can win by knowing rooms
instead of dances. Knows no network and no files; `colour_features` makes the features.

Shapes: C clips; K colour features; Y what is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.records import ClipFeatures

Array = NDArray[np.float64]
Colours = Mapping[str, NDArray[np.float32]]  # clip id to (K,)

BINS: Final = 16
THUMBNAIL: Final = 8
DIM: Final = 3 * BINS + 3 * THUMBNAIL**2
STRENGTHS: Final = tuple(10.0**power for power in range(-1, 6))


def read_colours(path: Path) -> Colours:
    """Clip id to features."""
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def colour_of(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(K,) of a clip's RGB pictures (H, W, 3), H and W multiples of 8: the mean over the pictures."""
    return np.mean([_of_picture(picture) for picture in pictures], axis=0).astype(np.float32)


def _of_picture(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    histogram = [np.bincount(picture[..., c].ravel() // (256 // BINS), minlength=BINS) for c in range(3)]
    height, width = (side // THUMBNAIL for side in picture.shape[:2])
    small = picture.reshape(THUMBNAIL, height, THUMBNAIL, width, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([np.concatenate(histogram) / (picture.shape[0] * picture.shape[1]), small.ravel()])


def ridge(known: Array, values: Array, asked: Array) -> Array:
    """(N, Y) predicted for (N, K), from (C, K) and (C, Y); the strength is the one that leaves one out best."""
    middle, spread = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)
    x, at, mean = (known - middle) / spread, (asked - middle) / spread, values.mean(axis=0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    y = u.T @ (values - mean)  # (K', Y)

    def error(strength: float) -> float:
        shrink = s**2 / (s**2 + strength)
        fitted = u @ (shrink[:, None] * y)
        leverage = 1.0 / len(x) + ((u**2) * shrink).sum(axis=1)
        return float((((values - mean - fitted) / np.maximum(1 - leverage, 1e-3)[:, None]) ** 2).mean())

    best = min(STRENGTHS, key=error)
    return np.asarray(at @ vt.T @ ((s / (s**2 + best))[:, None] * y) + mean)


def mean_mel(record: ClipFeatures, mels: int) -> Array:
    """(mels,) mean spectrum of the clip's music, less its own level: a song's colour of sound."""
    mel = record.audio[:, :mels].mean(axis=0).astype(float)
    return mel - mel.mean()


def song_scores(
    colours: Colours,
    train: Sequence[ClipFeatures],
    dances: Sequence[ClipFeatures],
    musics: Sequence[ClipFeatures],
    mels: int,
) -> NDArray[np.float32]:
    """(Q, N) how near each music's mean spectrum is to what the colours of each dance's picture foretell."""
    known, asked = (np.array([colours[r.clip_id] for r in part], float) for part in (train, dances))
    foretold = ridge(known, np.array([mean_mel(r, mels) for r in train]), asked)
    heard = np.array([mean_mel(r, mels) for r in musics])
    return -np.square(foretold[:, None] - heard[None]).sum(axis=-1).astype(np.float32)


def style_accuracy(colours: Colours, train: Sequence[ClipFeatures], test: Sequence[ClipFeatures]) -> list[float]:
    """1 for each test clip whose style the colours tell, else 0."""
    names = sorted({r.style for r in train})
    known, asked = (np.array([colours[r.clip_id] for r in part], float) for part in (train, test))
    wanted = np.array([[float(r.style == name) for name in names] for r in train])
    found = ridge(known, wanted, asked).argmax(axis=1)
    return [float(names[i] == r.style) for i, r in zip(found, test, strict=True)]
