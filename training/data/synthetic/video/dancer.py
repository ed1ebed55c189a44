"""Generates dances: one to three figures who move on known strokes in front of a camera that may move.

Seeded: the same seed gives the same pictures. Light (numpy and cv2): the demo and the tests use it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.music.beatgrid import BeatGrid, within
from training.data.synthetic.video.choreography import RATE_HZ, perform
from training.data.synthetic.video.figure import FIELDS, mirrored, pose
from training.data.synthetic.video.film import Body, film
from training.data.synthetic.video.scene import random_outfit
from training.data.synthetic.video.styles import EVERY, STYLE, Phrase, Style

Array = NDArray[np.float64]
MIN_STROKE_GAP_S = 0.3  # faster than this nobody moves the whole body


@dataclass(frozen=True)
class Dance:
    """A performance of `duration_s` with its truth: strokes_s (S,) seconds, ascending, of the leading figure."""

    style: str
    duration_s: float
    strokes_s: Array
    bodies: tuple[Body, ...]
    scene_seed: int
    camera_motion: float = 1.0

    def frames(self, fps: float, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        """RGB pictures (height, width, 3) of moments 0, 1/fps, …"""
        times_s = np.arange(round(self.duration_s * fps)) / fps
        return film(self.bodies, self.scene_seed, self.camera_motion, times_s, width, height)


def make_dance(seed: int, grid: BeatGrid, duration_s: float, style: str | None = None) -> Dance:
    """A performance over the beats of `grid`; the style and all else follow from the seed."""
    rng = np.random.default_rng([seed, 11])
    names = list(STYLE)
    chosen = STYLE[style or names[int(rng.integers(len(names)))]]
    phrase = _vary(chosen.make(rng), rng)
    positions = grid.positions(_pattern(chosen, grid, rng))
    strokes = grid.time_s(positions) + np.clip(rng.normal(scale=0.010, size=len(positions)), -0.03, 0.03)
    accents = _accents(positions, rng)
    lead = perform(phrase, strokes, accents, duration_s, rng)
    bodies = [_body(lead, rng, 0.5, 0.0)]
    for position_x in _places(rng):
        late = strokes + rng.normal(scale=0.012) + np.clip(rng.normal(scale=0.012, size=len(strokes)), -0.03, 0.03)
        poses = perform(phrase, late, accents * rng.uniform(0.85, 1.1), duration_s, rng)
        bodies.append(_body(mirrored(poses) if rng.uniform() < 0.3 else poses, rng, position_x, rng.uniform(0.1, 0.7)))
    if rng.uniform() < 0.12:
        bodies.append(_passer_by(rng, duration_s))
    bodies.sort(key=lambda body: -body.depth)
    return Dance(
        chosen.name, duration_s, within(strokes, duration_s), tuple(bodies), seed,
        camera_motion=float(rng.choice([0.0, 0.5, 1.0, 1.8], p=[0.35, 0.25, 0.25, 0.15])),
    )  # fmt: skip


def _pattern(style: Style, grid: BeatGrid, rng: np.random.Generator) -> tuple[float, ...]:
    """A pattern of the style's that a body can follow at this tempo."""
    beat_s = 60.0 / grid.tempo_bpm
    pattern = style.patterns[int(rng.integers(len(style.patterns)))]
    gap = min(b - a for a, b in zip(pattern, (*pattern[1:], pattern[0] + 4.0), strict=True))
    if gap * beat_s < MIN_STROKE_GAP_S + 0.08 and len(pattern) == len(EVERY):
        return (pattern[0], pattern[2])
    return pattern


def _accents(positions: Array, rng: np.random.Generator) -> Array:
    """Size of each stroke: the bar's first and third beats larger by a share of the dancer's own, and human noise."""
    weight = rng.uniform(0.0, 0.25)
    in_bar = np.floor(positions + 1e-6) % 4
    shape = np.select([in_bar == 0, in_bar == 2], [1.0 + weight, 1.0 + 0.4 * weight], 1.0 - 0.5 * weight)
    return shape * rng.uniform(0.8, 1.15) * np.exp(rng.normal(scale=0.07, size=len(positions)))


def _vary(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """Nobody dances a style quite like another: hands, hips and lean differ, and some start with the other side."""
    keys = phrase.keys.copy()
    offset = np.zeros(keys.shape[1])
    for name, size in (("hand_l", 0.04), ("hand_r", 0.04), ("lean_side", 0.05), ("lean_forward", 0.08), ("twist", 0.1)):
        s = FIELDS[name]
        offset[s] = rng.normal(scale=size, size=s.stop - s.start)
    keys = keys + offset
    keys[:, FIELDS["yaw"]] += rng.normal(scale=0.35)
    if rng.uniform() < 0.5:
        keys = mirrored(keys)
    values = {f: getattr(phrase, f) for f in ("ease", "move_s", "recoil", "bob", "hop", "turns")}
    values["move_s"] *= rng.uniform(0.85, 1.2)
    if phrase.ease == "land" and rng.uniform() < 0.5:
        values["bob"] = phrase.bob + rng.uniform(0.0, 0.03)
    return Phrase(keys=keys, **values)


def _places(rng: np.random.Generator) -> list[float]:
    count = int(rng.choice([0, 1, 2], p=[0.6, 0.25, 0.15]))
    return [float(0.5 + side * rng.uniform(0.16, 0.3)) for side in (-1, 1)[:count]]


def _body(poses: Array, rng: np.random.Generator, at_x: float, depth: float) -> Body:
    return Body(poses, random_outfit(rng), at_x + rng.normal(scale=0.03), depth, float(rng.uniform(0.58, 0.82)))


def _passer_by(rng: np.random.Generator, duration_s: float) -> Body:
    """Somebody who walks through the picture and does not dance."""
    count = int(duration_s * RATE_HZ) + 2
    time = np.arange(count) / RATE_HZ
    poses = np.repeat(pose(yaw=1.2)[None], count, axis=0)
    step = 2 * np.pi * rng.uniform(0.8, 1.1) * time
    poses[:, FIELDS["root_x"].start] = (time - rng.uniform(0, duration_s)) * rng.choice([-0.35, 0.35])
    for side, sign in (("foot_l", 1.0), ("foot_r", -1.0)):
        poses[:, FIELDS[side].stop - 1] = 0.14 * sign * np.sin(step)
        poses[:, FIELDS[side].start + 1] = 0.05 * np.clip(sign * np.cos(step), 0, None)
    return Body(poses, random_outfit(rng), 0.5, float(rng.choice([-0.4, 1.2])), float(rng.uniform(0.5, 0.7)))
