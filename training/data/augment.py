"""Draws how windows of clips are augmented: stretch, mirror, framing, gain, noise. Plans are small numpy arrays.

A plan says where each window reads and how its columns are bent; the reading itself is a few gathers on whatever
device the table is on (`training.data.windows`), so a batch costs the CPU almost nothing and is the same on every
device.
A stretch by r plays r times as much of the clip in a window: motion, music and their truth together.
Shapes: B windows; T window frames; M spec.motion_dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mudar.features.hoof import mirror
from mudar.spec import FeatureSpec, VideoSpec
from training.data.ragged import Table
from training.recipe import Augmentation

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NOISE_POOL = 1 << 20  # factors drawn once; each window reads its own stretch of them


@dataclass(frozen=True)
class RandomDraws:
    """Holds all random numbers of a batch, drawn before its clips are read: each process uses its own part."""

    uniform: Floats  # (B, 11) in 0..1; the last is for what others draw
    normal: Floats  # (B,)
    repeat: Floats  # (B, T) in 0..1; (B, 0) where frames never repeat
    noise_at: Ints  # (B,) where in the pool of noise a window begins

    def part(self, chosen: slice | Ints) -> RandomDraws:
        """Those of some windows."""
        return RandomDraws(**{name: value[chosen] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Plan:
    """Says which part of which clip each window shows, and how it is augmented."""

    clips: Ints  # (B,) rows of the table
    start_s: Floats  # (B,)
    stretch: Floats  # (B,)
    frame: Ints  # (B, T) the window's frame that stands at each place: itself, unless it repeats the one before
    column: Ints  # (B, M) the column that stands at each place of the descriptor
    factor: Floats  # (B, M) its gain; 0 where a cell is lost
    mirrored: NDArray[np.bool_]  # (B,)
    noise_at: Ints  # (B,)
    chance: Floats  # (B,) in 0..1, for what is drawn later: the shift of (17)

    def part(self, chosen: slice | Ints) -> Plan:
        """Some of its windows."""
        return Plan(**{name: value[chosen] for name, value in vars(self).items()})


def draw(rng: np.random.Generator, count: int, spec: FeatureSpec, augmentation: Augmentation) -> RandomDraws:
    """Draws the random numbers of `count` windows."""
    frames = spec.frames_per_segment
    return RandomDraws(
        uniform=rng.uniform(size=(count, 11)),
        normal=rng.normal(size=count),
        repeat=rng.uniform(size=(count, frames if augmentation.glitch else 0)),
        noise_at=rng.integers(NOISE_POOL - frames * spec.video.motion_dim, size=count),
    )


def make_plan(draws: RandomDraws, clips: Ints, table: Table, spec: FeatureSpec, augmentation: Augmentation) -> Plan:
    """Plans a random window of each of `clips` (B,); of a clip shorter than a window, all of it."""
    frames, fps, u = spec.frames_per_segment, spec.video.fps, draws.uniform
    low, high = np.log(augmentation.stretch)
    stretch = np.exp(low + (high - low) * u[:, 0])
    room_s = np.maximum(table.frames[clips] / fps - frames * stretch / fps, 0.0)
    column, visible = _bend(u[:, 2:9], spec.video, augmentation)
    gain = np.exp(augmentation.gain_sd * draws.normal)
    frame = np.tile(np.arange(frames), (len(clips), 1))
    if augmentation.glitch:
        frame = np.maximum(frame - (draws.repeat < augmentation.glitch), 0)
    return Plan(
        clips, room_s * u[:, 1], stretch, frame, column, visible * gain[:, None], u[:, 2] < augmentation.mirror,
        draws.noise_at, u[:, 9],
    )  # fmt: skip


def _bend(u: Floats, spec: VideoSpec, augmentation: Augmentation) -> tuple[Ints, Floats]:
    """Mirror, then move the grid by a cell, then lose one of its lines, as an order of columns and what is kept."""
    straight = np.arange(spec.motion_dim)
    flipped = mirror(straight.astype(np.float32), spec).astype(np.int64) if augmentation.mirror else straight
    column = np.where((u[:, 0] < augmentation.mirror)[:, None], flipped, straight)
    visible: Floats = np.ones(column.shape)
    if spec.grid:
        moved, lines = _framings(spec)
        move = np.where(u[:, 1] < augmentation.move_cells, 1 + (u[:, 2] * 4).astype(int), 0)
        drop = np.where(u[:, 3] < augmentation.drop_cells, 1 + (u[:, 4] * len(lines[1:])).astype(int), 0)
        column = np.take_along_axis(column, np.abs(moved[move]), axis=1)
        visible = ((moved[move] >= 0) & lines[drop]).astype(np.float64)
    return column, visible


@lru_cache(maxsize=8)
def _framings(spec: VideoSpec) -> tuple[Ints, NDArray[np.bool_]]:
    """Column orders (5, M) of the grid at rest and moved one cell each way (negative: nothing there), and which
    columns (1 + 2 grid, M) are left when nothing, or one row or column of cells, is lost."""
    start, side, deep = spec.hoof_bins + 1, spec.grid, spec.grid_directions
    places = np.arange(start, spec.motion_dim).reshape(side, side, deep)
    orders = []
    for axis, step in ((0, 0), (0, 1), (0, -1), (1, 1), (1, -1)):
        cells = np.roll(places, step, axis=axis)
        if step:
            edge = 0 if step > 0 else side - 1
            line = (edge,) if axis == 0 else (slice(None), edge)
            cells[line] *= -1
        orders.append(np.concatenate([np.arange(start), cells.ravel()]))
    lines = np.ones((1 + 2 * side, side, side, deep), bool)
    for i in range(side):
        lines[1 + i, i] = False
        lines[1 + side + i, :, i] = False
    flat = lines.reshape(len(lines), -1)
    return np.stack(orders), np.concatenate([np.ones((len(flat), start), bool), flat], axis=1)
