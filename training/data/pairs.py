"""Which music may be a negative for a dance: AVC with (16), AVTS with (17). numpy only; knows no network.

AVC: the sound of another clip, of another song, whose onsets differ enough. AVTS: the clip's own sound, shifted in
time, but never by a multiple of an eighth note, which would sound right again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MIN_OFF_GRID_FRAMES = 0.75  # nearer than this to a multiple of an eighth counts as one: frames are whole, beats are not


def onset_frames(onsets_s: Array, start_s: float, frames: int, fps: float) -> Array:
    """O(t) of (16): (frames,) 1 where an onset falls into frame t of the window from start_s."""
    index = np.round((np.asarray(onsets_s) - start_s) * fps).astype(int)
    out = np.zeros(frames, np.float32)
    out[index[(index >= 0) & (index < frames)]] = 1.0
    return out


def rhythm_distance(positive: Array, negative: Array, alpha: float) -> float:
    """s_rhy of (16): Σ_t |O_pos(t) - O_neg(t)| - α T."""
    return float(np.abs(positive - negative).sum() - alpha * len(positive))


def avc_allowed(onsets: Array, song_ids: list[str], alpha: float) -> NDArray[np.bool_]:
    """(B, B): may the music of j be a negative for the dance of i? onsets: (B, T) of 0/1. Symmetric, diagonal False."""
    differ = np.abs(onsets[:, None] - onsets[None]).sum(axis=-1) - alpha * onsets.shape[1]
    songs = np.asarray(song_ids)
    return (differ > 0) & (songs[:, None] != songs[None])


def avts_allowed(shift_frames: NDArray[np.float64], fps: float, tempo_bpm: float) -> NDArray[np.bool_]:
    """(17): is the shift, in frames, off the grid of eighth notes, fps · 60/bpm · 1/2? Shape kept."""
    eighth = fps * 60.0 / tempo_bpm * 0.5
    off = np.abs(shift_frames - eighth * np.round(shift_frames / eighth))
    return off >= min(MIN_OFF_GRID_FRAMES, 0.4 * eighth)


def draw_avts_shift(rng: np.random.Generator, fps: float, tempo_bpm: float, lowest: int, highest: int) -> int | None:
    """A whole number of frames in lowest..highest that (17) allows, drawn evenly; None if there is none."""
    choices = np.arange(lowest, highest + 1)
    choices = choices[avts_allowed(choices.astype(np.float64), fps, tempo_bpm)]
    return int(rng.choice(choices)) if len(choices) else None
