"""Decides which music may be a negative for a dance: AVC by (16), AVTS by (17). Knows no network and no files.

AVC: the sound of another clip, of another song, whose onsets differ enough. AVTS: the clip's own sound, shifted in
time, but never by a multiple of an eighth note, which would sound right again.
Shapes: B windows; T frames.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
MIN_OFF_GRID_FRAMES: Final = 0.75  # nearer to a multiple of an eighth counts as one: frames are whole, beats are not


def rhythm_distance(positive: Tensor, negative: Tensor, alpha: float) -> Tensor:
    """Computes s_rhy of (16), Σ_t |O_pos(t) - O_neg(t)| - α T, of (B, T) with (B', T) rows of 0/1, as (B, B')."""
    # For 0/1 rows |a - b| = a + b - 2ab, so that all pairs are one product.
    both = positive.sum(-1)[:, None] + negative.sum(-1)[None]
    return both - 2.0 * positive @ negative.T - alpha * positive.shape[1]


def avc_allowed(
    onsets: Tensor, songs: Tensor, alpha: float, others: Tensor | None = None, other_songs: Tensor | None = None
) -> Tensor:
    """Decides (B, B') whether the music of j may be a negative for the dance of i, by (16).

    onsets: (B, T) of 0/1; songs: (B,) numbers. Without `others` (B', T) and their songs, among themselves.
    """
    theirs, their_songs = (onsets, songs) if others is None or other_songs is None else (others, other_songs)
    return (rhythm_distance(onsets, theirs, alpha) > 0) & (songs[:, None] != their_songs[None])


def avts_allowed(shift_frames: Floats, fps: float, tempo_bpm: float | Floats) -> NDArray[np.bool_]:
    """Decides by (17) whether a shift, in frames, is off the grid of eighth notes, fps · 60/bpm · 1/2 (broadcasts)."""
    eighth = fps * 60.0 / np.asarray(tempo_bpm) * 0.5
    off = np.abs(shift_frames - eighth * np.round(shift_frames / eighth))
    return off >= np.minimum(MIN_OFF_GRID_FRAMES, 0.4 * eighth)


def draw_avts_shifts(
    chance: Floats, fps: float, tempo_bpm: Floats, lowest: Ints, highest: Ints
) -> tuple[Ints, NDArray[np.bool_]]:
    """Draws frames in lowest … highest that (17) allows, evenly by `chance` in 0..1, and says whether there are any.

    All (B,). The true offset lies anywhere in that range, so no network can read it off a window's edge.
    """
    choices = np.arange(lowest.min(), highest.max() + 1)
    permitted = avts_allowed(choices.astype(np.float64), fps, tempo_bpm[:, None])
    permitted &= (choices >= lowest[:, None]) & (choices <= highest[:, None])
    order = np.cumsum(permitted, axis=1)
    count = order[:, -1]
    target = np.floor(chance * count).astype(np.int64) + 1
    return np.where(count > 0, choices[np.argmax(order >= target[:, None], axis=1)], 0), count > 0
