"""Generates pairs of pictures with the true motion between them, to train and check PWC-Net.

Everything in a pair is a layer: a shape with a texture that an affine map carries from the first picture to the
second. Layers are the room (behind a camera that may also swing far), the parts of dancers, two moments of a dance
apart, and a few things that fly about. What is drawn *is* what the flow says: no approximation lies between them.
Shapes: maps are (2, 3) matrices of (x, y, 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.flow.layers import (
    Flow,
    Layer,
    SyntheticPair,
    affine_between,
    after,
    field_of,
    inverse,
    paint,
)
from training.data.synthetic.music.beatgrid import make_grid
from training.data.synthetic.video.dancer import Dance, make_dance
from training.data.synthetic.video.film import Stage, film_stage, set_stage
from training.data.synthetic.video.parts import body_parts
from training.data.synthetic.video.scene import Image

Array = NDArray[np.float64]
Rng = np.random.Generator
GAPS_S: Final = (1 / 60, 1 / 7)  # between the two moments
MOMENT_S: Final = 1.0  # the dance is long enough for any gap after it


def draw_pair(seed: int, width: int, height: int) -> tuple[Image, Image, Flow]:
    """First and second picture (height, width, 3) RGB, and the flow (height, width, 2): u right, v down, pixels."""
    pair = make_pair(seed, width, height)
    return pair.first, pair.second, pair.flow


def make_pair(seed: int, width: int, height: int) -> SyntheticPair:
    """The pair of this seed, with what is hidden in its second picture."""
    rng = np.random.default_rng([seed, 51])
    gap_s = float(np.exp(rng.uniform(*np.log(GAPS_S))))
    grid = make_grid(rng, MOMENT_S, float(rng.uniform(80, 150)))
    dance = make_dance(seed, grid, MOMENT_S)
    moments = (MOMENT_S + gap_s * np.array([-1.0, 1.0])) / 2
    stage = set_stage(rng, dance.bodies, dance.camera_motion, moments, width, height)
    swing = _swing(rng, width, height)
    layers = _dancers(rng, stage, swing) + _things(rng, width, height, swing)
    room = [stage.to_canvas[0], after(stage.to_canvas[1], swing)]
    return paint(rng, layers, stage.background, room, width, height)


def clip_flow(dance: Dance, fps: float, width: int, height: int) -> Iterator[Flow]:
    """The flow (height, width, 2) from each picture of `dance.frames` to the next.

    Here the pictures come first: a limb's map is the affine one nearest to how its outline was drawn.
    """
    times_s = np.arange(round(dance.duration_s * fps)) / fps
    stage = film_stage(dance.bodies, dance.scene_seed, dance.camera_motion, times_s, width, height)
    for t in range(len(stage.to_canvas) - 1):
        flow = field_of(after(inverse(stage.to_canvas[t]), stage.to_canvas[t + 1]), 0, 0, width, height)
        for at, scale, depth, outfit in stage.actors:
            late = {p.name: p for p in body_parts(at[t + 1], scale[t + 1], depth[t + 1], outfit)}
            for part in body_parts(at[t], scale[t], depth[t], outfit):
                cover = np.zeros((height, width), np.uint8)
                cv2.fillConvexPoly(cover, cv2.convexHull(np.rint(part.corners).astype(np.int32)), 1)
                moved = field_of(affine_between(part.corners, late[part.name].corners), 0, 0, width, height)
                flow[cover > 0] = moved[cover > 0]
        yield flow


def _swing(rng: Rng, width: int, height: int) -> Array:
    """What the camera does besides what its dance's film says: often little, sometimes as far as a quarter picture."""
    far = float(np.exp(rng.uniform(np.log(0.002), np.log(0.22)))) if rng.uniform() < 0.8 else 0.0
    angle, zoom = rng.normal(scale=0.5 * far), 1.0 + rng.normal(scale=0.6 * far)
    shear = rng.normal(scale=0.2 * far, size=2)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle) + shear[0]], [np.sin(angle) + shear[1], np.cos(angle)]])
    centre = np.array([width / 2, height / 2])
    direction = rng.uniform(0, 2 * np.pi)
    pan = far * rng.uniform(0, 1) * max(width, height) * np.array([np.cos(direction), np.sin(direction)])
    return np.concatenate([turn, (centre + pan - turn @ centre)[:, None]], axis=1)


def _dancers(rng: Rng, stage: Stage, swing: Array) -> list[Layer]:
    layers = []
    for at, scale, depth, outfit in stage.actors:
        late = {p.name: p for p in body_parts(at[1], scale[1], depth[1], outfit)}
        for part in body_parts(at[0], scale[0], depth[0], outfit):
            motion = after(affine_between(part.corners, late[part.name].corners), swing)
            layers.append(_layer(rng, part.corners, motion, np.array(part.colour, float)))
    return layers


def _things(rng: Rng, width: int, height: int, swing: Array) -> list[Layer]:
    """Polygons and ellipses with motions of their own, in front of and between nothing in particular."""
    layers = []
    for _ in range(int(rng.integers(0, 7))):
        size = float(np.exp(rng.uniform(np.log(0.04), np.log(0.3)))) * min(width, height)
        corners = int(rng.choice([3, 4, 5, 24]))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners < 24 else np.linspace(0, 2 * np.pi, 24)[:-1]
        shape = size * rng.uniform(0.4, 1.0, 2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        centre = rng.uniform(0, 1, 2) * [width, height]
        own = _swing(rng, width, height)
        layers.append(
            _layer(rng, centre + shape, after(_about(own, centre, width, height), swing), rng.uniform(0, 255, 3))
        )
    return layers


def _layer(rng: Rng, corners: Array, motion: Array, colour: Array) -> Layer:
    x, y = rng.integers(0, 256, size=2)
    return Layer(corners, motion, colour, (int(x), int(y)), float(rng.uniform(4, 40)))


def _about(motion: Array, centre: Array, width: int, height: int) -> Array:
    """The same turn and shift, around another centre than the picture's."""
    pan = motion[:, 2] + motion[:, :2] @ [width / 2, height / 2] - [width / 2, height / 2]
    return np.concatenate([motion[:, :2], (centre + pan - motion[:, :2] @ centre)[:, None]], axis=1)
