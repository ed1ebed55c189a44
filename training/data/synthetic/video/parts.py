"""Draws a body as polygons with the same corners in every frame, so that every pixel's motion is known.

The same limbs, widths and colours as `scene.draw_body` paints; a test holds the two outlines against each other.
Shapes: J joints; K corners of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.figure import JOINT
from training.data.synthetic.video.scene import LIMBS, Colour, Outfit

Array = NDArray[np.float64]
_ROUND: Final = 10  # corners of each rounded end


@dataclass(frozen=True)
class Part:
    """One patch of a body: corners (K, 2) in pixels, how near it is to the camera, and its colour."""

    name: str
    corners: Array
    depth: float
    colour: Colour


def body_parts(at: Array, scale: Array, depth: Array, outfit: Outfit) -> list[Part]:
    """The parts of one body, farthest first. at: (J, 2) pixels, scale: (J,) pixels a body height, depth: (J,)."""
    return sorted(_parts(at, scale, depth, outfit), key=lambda part: part.depth)


def _parts(at: Array, scale: Array, depth: Array, outfit: Outfit) -> Iterator[Part]:
    wide = outfit.width
    for start, end, thick, thin, piece in LIMBS:
        a, b = JOINT[start], JOINT[end]
        near = float(depth[a] + depth[b]) / 2 + 1e-3
        tip = 0.027 if piece == "skin" else thin  # a forearm ends in a hand
        corners = capsule(at[a], at[b], thick * wide * scale[a], tip * wide * scale[b])
        yield Part(f"{start}-{end}", corners, near, getattr(outfit, piece))
    yield from _torso(at, float(scale[JOINT["chest"]]), float(depth[JOINT["chest"]]), outfit)
    head, neck, size = at[JOINT["head"]], at[JOINT["neck"]], scale[JOINT["head"]]
    up = (head - neck) / max(float(np.hypot(*(head - neck))), 1e-6)
    near = float(depth[JOINT["head"]]) + 0.02
    yield Part("hair", disc(head + 0.016 * size * up, 0.066 * size, up), near, outfit.hair)
    yield Part("face", disc(head - 0.008 * size * up, 0.055 * size, up), near + 1e-4, outfit.skin)


def _torso(at: Array, size: float, near: float, outfit: Outfit) -> Iterator[Part]:
    neck, pelvis = at[JOINT["neck"]], at[JOINT["pelvis"]]
    shoulder_l, shoulder_r, hip_r, hip_l = (at[JOINT[j]] for j in ("shoulder_l", "shoulder_r", "hip_r", "hip_l"))
    yield Part("neck", capsule(neck, at[JOINT["head"]], 0.03 * size, 0.03 * size), near - 2e-4, outfit.skin)
    yield Part("waist", capsule((neck + pelvis) / 2, pelvis, 0.075 * outfit.width * size, 0.07 * outfit.width * size),
               near - 1e-4, outfit.top)  # fmt: skip
    corners = np.stack([shoulder_l, shoulder_r, hip_r, hip_l])
    out = corners - corners.mean(axis=0)
    wide = corners + 0.02 * outfit.width * size * out / np.hypot(*out.T).clip(1e-6)[:, None]
    yield Part("chest", wide, near, outfit.top)
    yield Part("shoulders", capsule(shoulder_l, shoulder_r, 0.03 * size, 0.03 * size), near + 1e-4, outfit.top)
    if outfit.skirt:
        knees = [0.45 * at[JOINT[f"hip_{s}"]] + 0.55 * at[JOINT[f"knee_{s}"]] for s in "rl"]
        flare = knees[0] - knees[1] + 1e-6
        flare = 0.05 * size * flare / max(float(np.hypot(*flare)), 1e-6)
        yield Part("skirt", np.stack([wide[3], wide[2], knees[0] + flare, knees[1] - flare]), near + 2e-4, outfit.legs)


def capsule(a: Array, b: Array, radius_a: float, radius_b: float) -> Array:
    """A limb from a to b with round ends: (2 * _ROUND, 2), the same corner always at the same place of the limb."""
    along = b - a
    length = float(np.hypot(*along))
    ahead = along / length if length > 1e-6 else np.array([0.0, 1.0])
    return np.concatenate([_arc(a, radius_a, -ahead), _arc(b, radius_b, ahead)])


def disc(centre: Array, radius: float, up: Array) -> Array:
    """A circle (2 * _ROUND, 2) that turns with `up`."""
    return np.concatenate([_arc(centre, radius, up), _arc(centre, radius, -up)])


def _arc(centre: Array, radius: float, ahead: Array) -> Array:
    """Half a circle around `centre`, bulging `ahead`."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, _ROUND)
    side = np.array([-ahead[1], ahead[0]])
    return centre + max(radius, 0.5) * (np.cos(angles)[:, None] * ahead + np.sin(angles)[:, None] * side)
