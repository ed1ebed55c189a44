"""How alike a dance's curve and a song's are at the lag that suits them best: what SCIENCE calls best-lag correlation.

The maximum over lags is no inner product, so no index can search by it; here it is what an index's vectors are
measured against. Knows no network.

Shapes: N clips; S segments; T frames of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation.evaluate import View

MAX_LAG_S = 2.0
_HOP_S, _WINDOW_S = 4.0, 8.0

Array = NDArray[np.float64]


def scores(views: Sequence[View], fps: float) -> Array:
    """(N, N): of each clip's learned curve (rows) with each clip's onset strength, the best pair of segments."""
    size = 2 * round(_WINDOW_S * fps)
    dances = [np.fft.rfft(_segments(view.curve, fps), size) for view in views]
    songs = [np.fft.rfft(_segments(view.record.envelope, fps), size) for view in views]
    first, every = np.cumsum([0, *(len(song) for song in songs)])[:-1], np.concatenate(songs)
    reach = round(MAX_LAG_S * fps)
    found = []
    for dance in dances:
        best = np.full(len(every), -np.inf)
        for segment in dance:
            along = np.fft.irfft(np.conj(segment) * every, size)  # (ΣS, lags)
            best = np.maximum(best, np.maximum(along[:, : reach + 1].max(axis=1), along[:, -reach:].max(axis=1)))
        found.append(np.maximum.reduceat(best, first))
    return np.array(found)


def _segments(curve: NDArray[np.float32], fps: float) -> Array:
    """(S, T) windows, each less its mean and of norm 1."""
    length, hop = min(round(_WINDOW_S * fps), len(curve)), round(_HOP_S * fps)
    cut = np.lib.stride_tricks.sliding_window_view(curve.astype(np.float64), length)[::hop]
    calm = cut - cut.mean(axis=1, keepdims=True)
    return calm / np.maximum(np.linalg.norm(calm, axis=1, keepdims=True), 1e-9)
