"""Draws bodies and backgrounds with cv2, to RGB pictures. Knows no rhythm and no music."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.figure import JOINT

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Colour = tuple[int, int, int]
SHIFT: Final = 4  # cv2 draws with 4 fractional bits, so slow motion is smooth
CAMERA_DISTANCE: Final = 3.4  # body heights

LIMBS: Final = (
    ("hip_l", "knee_l", 0.047, 0.036, "legs"), ("knee_l", "ankle_l", 0.036, 0.024, "shins"),
    ("ankle_l", "toe_l", 0.026, 0.02, "shoes"), ("hip_r", "knee_r", 0.047, 0.036, "legs"),
    ("knee_r", "ankle_r", 0.036, 0.024, "shins"), ("ankle_r", "toe_r", 0.026, 0.02, "shoes"),
    ("shoulder_l", "elbow_l", 0.031, 0.025, "sleeves"), ("elbow_l", "hand_l", 0.024, 0.02, "skin"),
    ("shoulder_r", "elbow_r", 0.031, 0.025, "sleeves"), ("elbow_r", "hand_r", 0.024, 0.02, "skin"),
)  # fmt: skip


@dataclass(frozen=True)
class Outfit:
    """Colours of a body, and whether it wears a skirt or stripes."""

    skin: Colour
    hair: Colour
    top: Colour
    sleeves: Colour
    legs: Colour
    shins: Colour
    shoes: Colour
    skirt: bool
    stripes: bool
    width: float  # of all limbs, 1 = average


def random_outfit(rng: np.random.Generator) -> Outfit:
    """Anything a wardrobe may hold."""
    skins = ((255, 219, 187), (224, 172, 125), (180, 128, 88), (120, 80, 52), (86, 56, 38))
    skin, top, legs = skins[rng.integers(len(skins))], _colour(rng), _colour(rng)
    return Outfit(
        skin=skin, hair=_colour(rng, 90), top=top, sleeves=top if rng.uniform() < 0.6 else skin, legs=legs,
        shins=legs if rng.uniform() < 0.7 else skin, shoes=_colour(rng), skirt=bool(rng.uniform() < 0.25),
        stripes=bool(rng.uniform() < 0.4), width=float(rng.uniform(0.85, 1.3)),
    )  # fmt: skip


def _colour(rng: np.random.Generator, top: int = 245) -> Colour:
    r, g, b = (int(v) for v in rng.integers(10, top, size=3))
    return (r, g, b)


def random_background(rng: np.random.Generator, width: int, height: int) -> Image:
    """Paints a wall with texture and things on it, and a floor, (height, width, 3)."""
    horizon = int(height * rng.uniform(0.62, 0.82))
    picture = np.empty((height, width, 3), np.float32)
    grey = rng.uniform(0.2, 0.8)  # rooms are duller than clothes
    wall, floor = ((1 - grey) * np.array(_colour(rng), np.float32) + grey * rng.uniform(40, 220) for _ in range(2))
    shade = np.linspace(rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.2), horizon)[:, None, None]
    picture[:horizon] = wall * shade
    picture[horizon:] = floor * np.linspace(0.7, 1.1, height - horizon)[:, None, None]
    for cells, weight in ((6, 18.0), (24, 12.0), (90, 9.0)):
        noise = rng.normal(size=(max(cells * height // width, 2), cells)).astype(np.float32)
        picture += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    image = picture.clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        x, y = int(rng.integers(width)), int(rng.integers(max(horizon - 10, 1)))
        w, h = int(width * rng.uniform(0.04, 0.25)), int(height * rng.uniform(0.05, 0.4))
        cv2.rectangle(image, (x, y), (x + w, min(y + h, horizon)), _colour(rng), -1 if rng.uniform() < 0.7 else 2)
    for _ in range(int(rng.integers(0, 9))):
        x0, x1 = rng.integers(-width, 2 * width, size=2)
        cv2.line(
            image, (int(width / 2 + (x0 - width / 2) / 3), horizon), (int(x1), height), _colour(rng), 1, cv2.LINE_AA
        )
    return image


def project(points: Array, at_x: float, depth: float, height_px: float, floor_y: float) -> tuple[Array, Array]:
    """Weak perspective. points (T, J, 3) in body heights -> pixels (T, J, 2), pixels per body height (T, J)."""
    scale = height_px * CAMERA_DISTANCE / (CAMERA_DISTANCE + depth - points[..., 2])
    x = at_x + points[..., 0] * scale
    y = floor_y - points[..., 1] * scale + 0.18 * height_px * points[..., 2]
    return np.stack([x, y], axis=-1), scale


def move_camera(pixels: Array, matrices: Array) -> Array:
    """Applies each frame's affine map (T, 2, 3) to its points (T, J, 2)."""
    return np.einsum("tab,tjb->tja", matrices[:, :, :2], pixels) + matrices[:, None, :, 2]


def draw_body(image: Image, at: Array, scale: Array, depth: Array, outfit: Outfit) -> None:
    """Paint one body into the picture. at: (J, 2) pixels, scale: (J,) pixels a body height, depth: (J,) towards us."""
    parts: list[tuple[float, str, int]] = []
    for i, (start, end, *_rest) in enumerate(LIMBS):
        parts.append((float(depth[JOINT[start]] + depth[JOINT[end]]) / 2 + 1e-3, "limb", i))
    parts.append((float(depth[JOINT["chest"]]), "torso", 0))
    parts.append((float(depth[JOINT["head"]]) + 0.02, "head", 0))
    for _, kind, i in sorted(parts):
        if kind == "limb":
            start, end, thick, thin, piece = LIMBS[i]
            a, b = JOINT[start], JOINT[end]
            w = outfit.width
            _capsule(image, at[a], at[b], thick * w * scale[a], thin * w * scale[b], getattr(outfit, piece))
            if piece == "skin":
                _disc(image, at[b], 0.027 * w * scale[b], outfit.skin)
        elif kind == "torso":
            _torso(image, at, scale, outfit)
        else:
            _head(image, at, scale, outfit)


def _torso(image: Image, at: Array, scale: Array, outfit: Outfit) -> None:
    size = scale[JOINT["chest"]]
    neck, pelvis = at[JOINT["neck"]], at[JOINT["pelvis"]]
    _capsule(image, neck, at[JOINT["head"]], 0.03 * size, 0.03 * size, outfit.skin)
    corners = [at[JOINT[j]] for j in ("shoulder_l", "shoulder_r", "hip_r", "hip_l")]
    centre = np.mean(corners, axis=0)
    wide = np.array([c + 0.02 * outfit.width * size * _unit(c - centre) for c in corners])
    _polygon(image, wide, outfit.top)
    _capsule(image, corners[0], corners[1], 0.03 * size, 0.03 * size, outfit.top)
    _capsule(image, (neck + pelvis) / 2, pelvis, 0.075 * outfit.width * size, 0.07 * outfit.width * size, outfit.top)
    if outfit.stripes:
        for share in (0.3, 0.55, 0.8):
            a, b = (1 - share) * wide[0] + share * wide[3], (1 - share) * wide[1] + share * wide[2]
            _capsule(image, a, b, 0.01 * size, 0.01 * size, outfit.legs)
    if outfit.skirt:
        knees = [0.45 * at[JOINT[f"hip_{s}"]] + 0.55 * at[JOINT[f"knee_{s}"]] for s in "rl"]
        out = 0.05 * size * _unit(knees[0] - knees[1] + 1e-6)
        _polygon(image, np.array([wide[3], wide[2], knees[0] + out, knees[1] - out]), outfit.legs)


def _head(image: Image, at: Array, scale: Array, outfit: Outfit) -> None:
    head, size = at[JOINT["head"]], scale[JOINT["head"]]
    up = _unit(head - at[JOINT["neck"]])
    _disc(image, head + 0.016 * size * up, 0.066 * size, outfit.hair)
    _disc(image, head - 0.008 * size * up, 0.055 * size, outfit.skin)


def _unit(vector: Array) -> Array:
    return vector / max(float(np.hypot(*vector)), 1e-6)


def _fixed(points: Array) -> NDArray[np.int32]:
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def _disc(image: Image, centre: Array, radius: float, colour: Colour) -> None:
    x, y = _fixed(centre)
    cv2.circle(image, (int(x), int(y)), max(round(radius * (1 << SHIFT)), 8), colour, -1, cv2.LINE_AA, SHIFT)


def _polygon(image: Image, corners: Array, colour: Colour) -> None:
    cv2.fillConvexPoly(image, cv2.convexHull(_fixed(corners)), colour, cv2.LINE_AA, SHIFT)


def _capsule(image: Image, a: Array, b: Array, radius_a: float, radius_b: float, colour: Colour) -> None:
    along = b - a
    length = float(np.hypot(*along))
    if length > 1e-3:
        side = np.array([-along[1], along[0]]) / length
        _polygon(
            image,
            np.array([a + side * radius_a, b + side * radius_b, b - side * radius_b, a - side * radius_a]),
            colour,
        )
    _disc(image, a, radius_a, colour)
    _disc(image, b, radius_b, colour)
