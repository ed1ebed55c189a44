"""Windows of records, with what makes them differ: stretch, mirror, gain, framing. numpy only.

A stretch by r plays r times as much of the clip in a window: motion, music and their truth together.
Shapes: T window frames; M spec.motion_dim; Ta audio frames; F audio features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.features.hoof import mirror
from mudar.model.inputs import motion_input
from mudar.spec import AudioSpec, FeatureSpec, VideoSpec
from training.data.store import Record

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How far a window may be bent. The defaults leave it as it is."""

    stretch: tuple[float, float] = (1.0, 1.0)
    mirror: float = 0.0  # share of windows
    gain_sd: float = 0.0  # of the log of a factor on all motion
    noise_sd: float = 0.0  # of the log of a factor on each value
    move_cells: float = 0.0  # share of windows whose grid is moved by a cell: another framing
    drop_cells: float = 0.0  # share of windows that lose a row or a column of cells
    glitch: float = 0.0  # share of frames that repeat the one before, as phones record


@dataclass(frozen=True)
class View:
    """Which stretch of a clip a window shows."""

    start_s: float
    stretch: float
    frames: int
    fps: float

    def to_frames(self, times_s: Array) -> Array:
        """Events in seconds of the clip to (fractional) frames of the window."""
        return (np.asarray(times_s) - self.start_s) / self.stretch * self.fps


def draw_view(rng: np.random.Generator, record: Record, spec: FeatureSpec, augmentation: Augmentation) -> View:
    """A random window of the clip; of a clip shorter than a window, all of it."""
    fps, frames = spec.video.fps, spec.frames_per_segment
    low, high = augmentation.stretch
    stretch = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    room_s = record.frames / fps - frames * stretch / fps
    return View(float(rng.uniform(0, room_s)) if room_s > 0 else 0.0, stretch, frames, fps)


def cut_motion(
    record: Record, view: View, spec: VideoSpec, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Array, Array]:
    """(T, M) normalised motion of the window, and (T,) 1 where the clip has a frame."""
    motion = motion_input(record.between, spec)
    at = (view.start_s + np.arange(view.frames) / view.fps * view.stretch) * view.fps
    window = _read(motion, at) * np.float32(view.stretch)
    inside = ((at >= 0) & (at <= len(motion) - 1)).astype(np.float32)
    return _bend(window, spec, augmentation, rng) * inside[:, None], inside


def cut_audio(record: Record, view: View, spec: AudioSpec) -> Array:
    """(Ta, F) music input of the window: stretched in time, its tempogram moved by the same factor."""
    rate = spec.frame_rate_hz
    count = round(view.frames / view.fps * rate)
    at = (view.start_s + np.arange(count) / rate * view.stretch) * rate
    audio = _read(record.audio, at)
    audio[(at < 0) | (at > len(record.audio) - 1)] = 0.0
    audio[(at < 0) | (at > len(record.audio) - 1), : spec.n_mels] = -1.0
    if view.stretch != 1.0:
        bins = spec.tempogram_bins
        step = np.log(spec.tempo_max_bpm / spec.tempo_min_bpm) / (bins - 1)
        audio[:, -bins:] = _read(audio[:, -bins:].T, np.arange(bins) - np.log(view.stretch) / step).T
    return audio


def soft_events(times_s: Array, view: View, sigma_s: float) -> Array:
    """(T,) target: a bump of height 1 at each event, `sigma_s` wide; 0 gives hard 0/1 frames."""
    at = view.to_frames(times_s)
    if sigma_s <= 0:
        index = np.round(at).astype(int)
        hard = np.zeros(view.frames, np.float32)
        hard[index[(index >= 0) & (index < view.frames)]] = 1.0
        return hard
    if not len(at):
        return np.zeros(view.frames, np.float32)
    distance_s = np.abs(np.arange(view.frames)[:, None] - at[None]).min(axis=1) / view.fps
    return np.exp(-0.5 * (distance_s / sigma_s) ** 2).astype(np.float32)


def _read(rows: Array, at: NDArray[np.float64]) -> Array:
    """Rows (N, K) at fractional places (n,), linear between, the ends repeated. (n, K)"""
    at = np.clip(at, 0, len(rows) - 1)
    low = np.minimum(at.astype(int), max(len(rows) - 2, 0))
    mix = (at - low).astype(np.float32)[:, None]
    return rows[low] * (1 - mix) + rows[np.minimum(low + 1, len(rows) - 1)] * mix


def _bend(motion: Array, spec: VideoSpec, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    if rng.uniform() < augmentation.mirror:
        motion = mirror(motion, spec)
    if augmentation.glitch:
        again = np.flatnonzero(rng.uniform(size=len(motion)) < augmentation.glitch)
        motion = motion.copy()
        motion[again] = motion[np.maximum(again - 1, 0)]
    if spec.grid:
        motion = _reframe(motion, spec, augmentation, rng)
    factor = np.exp(rng.normal(scale=augmentation.gain_sd)) if augmentation.gain_sd else 1.0
    if augmentation.noise_sd:
        factor = factor * np.exp(rng.normal(scale=augmentation.noise_sd, size=motion.shape))
    return (motion * factor).astype(np.float32)


def _reframe(motion: Array, spec: VideoSpec, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    """Move the grid by a cell, or blank one of its rows or columns."""
    start, side = spec.hoof_bins + 1, spec.grid
    cells = motion[:, start:].reshape(len(motion), side, side, -1)
    if rng.uniform() < augmentation.move_cells:
        axis, step = int(rng.integers(1, 3)), int(rng.choice([-1, 1]))
        cells = np.roll(cells, step, axis=axis)
        edge = 0 if step > 0 else side - 1
        cells[(slice(None), edge) if axis == 1 else (slice(None), slice(None), edge)] = 0.0
    if rng.uniform() < augmentation.drop_cells:
        cells, line = cells.copy(), int(rng.integers(side))
        cells[(slice(None), line) if rng.uniform() < 0.5 else (slice(None), slice(None), line)] = 0.0
    return np.concatenate([motion[:, :start], cells.reshape(len(motion), -1)], axis=1)
