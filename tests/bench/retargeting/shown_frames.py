"""Finds which second of the source each frame of a rendered file shows, by comparing pictures alone.

F = frames, P = pixels of a small picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mudar.media.decode.video import iter_frames

Floats = NDArray[np.float64]
THUMB_PX = 48
SEARCH_S = 0.25  # how far from the planned moment a frame's is searched for
ALIKE = 0.15  # levels between two frames that are one shown twice


def thumbnails(path: Path) -> tuple[Floats, Floats]:
    """Decodes the seconds (F,) and small grey pictures (F, P) of all frames."""
    frames = [(f.time_s, f.image.ravel()) for f in iter_frames(path, fps=None, size=(THUMB_PX, THUMB_PX), pixel="gray")]
    times, pictures = zip(*frames, strict=True)
    return np.array(times), np.stack(pictures).astype(np.float64)


def moment_shown(picture: Floats, near_s: float, times: Floats, pictures: Floats) -> float:
    """Finds the source second that a picture shows: the nearest point on the lines between neighbouring frames."""
    low, high = np.searchsorted(times, [near_s - SEARCH_S, near_s + SEARCH_S])
    first, second = pictures[low : high - 1], pictures[low + 1 : high]
    step = second - first
    length = np.maximum((step**2).sum(axis=1), 1e-9)
    share = np.clip(((picture - first) * step).sum(axis=1) / length, 0, 1)
    away = ((first + share[:, None] * step - picture) ** 2).sum(axis=1)
    best = int(np.argmin(away))
    return float(times[low + best] + share[best] * (times[low + best + 1] - times[low + best]))


def landing_errors(source: Path, made: Path, output_s: Floats, source_s: Floats, fps: float) -> Floats:
    """Measures the seconds (K,) by which these landings miss in the finished file."""
    times, pictures = thumbnails(source)
    _, shown = thumbnails(made)
    missed = []
    for at_s, stroke_s in zip(output_s, source_s, strict=True):
        first = int(np.floor(at_s * fps))
        if not 0 <= first < len(shown) - 1 or not times[1] < stroke_s < times[-2]:
            continue
        a, b = (moment_shown(shown[first + k], stroke_s, times, pictures) for k in (0, 1))
        if b - a > 0.2 / fps:
            missed.append(abs((first + (stroke_s - a) / (b - a)) / fps - at_s))
    return np.array(missed)


def shown_moments(source: Path, made: Path, planned_s: Floats) -> tuple[Floats, Floats]:
    """Finds the output seconds (F,) and the source seconds (F,) shown there, never descending, near planned_s (F,)."""
    times, pictures = thumbnails(source)
    at, shown = thumbnails(made)
    source_s = [moment_shown(p, s, times, pictures) for p, s in zip(shown, planned_s, strict=False)]
    return at[: len(source_s)], np.maximum.accumulate(np.array(source_s))


def repeated_share(path: Path) -> float:
    """Measures the share of frames that show the one before once more."""
    _, pictures = thumbnails(path)
    return float((np.abs(np.diff(pictures, axis=0)).mean(axis=1) < ALIKE).mean())
