"""Films bodies in a room with a camera that may move, to RGB pictures. Knows no rhythm and no music."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.choreography import RATE_HZ
from training.data.synthetic.video.figure import joints
from training.data.synthetic.video.scene import Image, Outfit, draw_body, move_camera, project, random_background

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """One figure: what she does, how she looks and where she stands (shares of the picture)."""

    poses: Array  # (N, D) at RATE_HZ
    outfit: Outfit
    at_x: float
    depth: float  # body heights behind the front line
    height: float  # share of the picture's height


@dataclass(frozen=True)
class Stage:
    """Holds a room and where everybody in it is in each of T pictures.

    to_canvas: (T, 2, 3) from the background to the picture. actors: joints in pixels (T, J, 2), pixels a body height
    (T, J), depth (T, J) and outfit of each body.
    """

    background: Image
    to_canvas: Array
    actors: list[tuple[Array, Array, Array, Outfit]]


def set_stage(
    rng: np.random.Generator, bodies: tuple[Body, ...], camera_motion: float, times: Array, width: int, height: int
) -> Stage:
    """Sets up the room of this random state at `times` (T,) seconds."""
    index = np.minimum(np.round(times * RATE_HZ).astype(int), len(bodies[0].poses) - 1)
    canvas_w, canvas_h = int(width * 1.3), int(height * 1.3)
    background = random_background(rng, canvas_w, canvas_h)
    camera = _camera(rng, times, width, height, camera_motion)
    to_canvas = camera.copy()
    to_canvas[:, :, 2] -= np.einsum("tab,b->ta", camera[:, :, :2], [(canvas_w - width) / 2, (canvas_h - height) / 2])
    floor_y = height * rng.uniform(0.86, 0.95)
    return Stage(
        background, to_canvas, [_standing_position(body, index, camera, width, height, floor_y) for body in bodies]
    )


def film_stage(
    bodies: tuple[Body, ...], seed: int, camera_motion: float, times_s: Array, width: int, height: int
) -> Stage:
    """Sets the stage that `film` films, to know where everything is in its pictures."""
    return set_stage(np.random.default_rng([seed, 12]), bodies, camera_motion, times_s, width, height)


def film(
    bodies: tuple[Body, ...], seed: int, camera_motion: float, times_s: Array, width: int, height: int
) -> Iterator[Image]:
    """Films pictures (height, width, 3) at `times_s` (T,); bodies are painted in the order given."""
    rng = np.random.default_rng([seed, 12])
    stage = set_stage(rng, bodies, camera_motion, times_s, width, height)
    background, to_canvas, count = stage.background, stage.to_canvas, len(times_s)
    light = 1.0 + 0.04 * np.sin(2 * np.pi * times_s * rng.uniform(0.05, 0.4)) * rng.uniform(0, 1)
    noise = rng.normal(scale=rng.uniform(0.5, 4.0), size=(height + 64, width + 64))
    grain = np.repeat(noise.round().astype(np.int16)[..., None], 3, axis=2)
    still = cast(Image, cv2.warpAffine(background, to_canvas[0], (width, height), borderMode=cv2.BORDER_REFLECT))
    for t in range(count):
        image = still.copy()
        if camera_motion:
            image = cast(
                Image, cv2.warpAffine(background, to_canvas[t], (width, height), borderMode=cv2.BORDER_REFLECT)
            )
        for at, scale, depth, outfit in stage.actors:
            draw_body(image, at[t], scale[t], depth[t], outfit)
        dy, dx = rng.integers(0, 64, size=2)
        lit = cv2.convertScaleAbs(image, alpha=float(light[t]))
        yield cast(Image, cv2.add(lit, grain[dy : dy + height, dx : dx + width], dtype=cv2.CV_8U))


def _camera(rng: np.random.Generator, times: Array, width: int, height: int, amount: float) -> Array:
    """A 2x3 affine for each frame: slow pan and zoom, hand shake, a little roll. (T, 2, 3)"""

    def wander(period_s: float) -> Array:
        phase, rate = rng.uniform(0, 2 * np.pi, 2), 2 * np.pi / period_s
        return 0.6 * np.sin(rate * times + phase[0]) + 0.4 * np.sin(2.3 * rate * times + phase[1])

    pan_x = amount * width * (0.03 * wander(9.0) + 0.0025 * wander(0.9))
    pan_y = amount * height * (0.015 * wander(11.0) + 0.0025 * wander(0.7))
    zoom = 1.0 + rng.uniform(-0.05, 0.12) + amount * 0.04 * wander(12.0)
    roll = amount * 0.012 * wander(7.0)
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    out = np.empty((len(times), 2, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1] = cos, -sin, sin, cos
    centre = np.array([width / 2, height / 2])
    out[:, :, 2] = centre - np.einsum("tab,b->ta", out[:, :, :2], centre) + np.stack([pan_x, pan_y], axis=1)
    return out


def _standing_position(
    body: Body, index: NDArray[np.int_], camera: Array, width: int, height: int, floor_y: float
) -> tuple[Array, Array, Array, Outfit]:
    """Where a body's joints are in each picture: pixels (T, J, 2), pixels a body height (T, J), depth (T, J)."""
    points = joints(body.poses[index])
    size = min(body.height * height, 1.5 * body.height * width)
    pixels, scale = project(points, body.at_x * width, body.depth, size, floor_y - 0.1 * height * body.depth)
    zoom = np.sqrt(np.abs(np.linalg.det(camera[:, :, :2])))[:, None]
    return move_camera(pixels, camera), scale * zoom, points[..., 2], body.outfit
