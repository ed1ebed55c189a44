"""What a rendered file shows, by its pictures alone: which second of the source each frame is, asked of nobody.

F = frames, P = pixels of a small picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mudar.media.decode.video import iter_frames

Floats = NDArray[np.float64]
THUMB_PX = 48
SEARCH_S = 0.25  # how far from the promise a frame's moment is looked for
ALIKE = 0.15  # levels between two frames that are one shown twice


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


def landing_errors(source: Path, made: Path, output_s: Floats, source_s: Floats, fps: float) -> Floats:
    """(K,) seconds by which these landings miss in the finished file."""
    times, pictures = thumbs(source)
    _, shown = thumbs(made)
    missed = []
    for at_s, stroke_s in zip(output_s, source_s, strict=True):
        first = int(np.floor(at_s * fps))
        if not 0 <= first < len(shown) - 1 or not times[1] < stroke_s < times[-2]:
            continue
        a, b = (moment_shown(shown[first + k], stroke_s, times, pictures) for k in (0, 1))
        if b - a > 0.2 / fps:
            missed.append(abs((first + (stroke_s - a) / (b - a)) / fps - at_s))
    return np.array(missed)


def moments(source: Path, made: Path, promised_s: Floats) -> tuple[Floats, Floats]:
    """(F,) output seconds and (F,) source seconds shown there, never descending. promised_s: (F,) where to look."""
    times, pictures = thumbs(source)
    at, shown = thumbs(made)
    found = [moment_shown(p, s, times, pictures) for p, s in zip(shown, promised_s, strict=False)]
    return at[: len(found)], np.maximum.accumulate(np.array(found))


def repeats(path: Path) -> float:
    """The share of frames that are the one before once more."""
    _, pictures = thumbs(path)
    return float((np.abs(np.diff(pictures, axis=0)).mean(axis=1) < ALIKE).mean())
