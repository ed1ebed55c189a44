"""Turns the pose vectors of a body into joints in space. Knows no time, no style and no picture.

Lengths are in body heights; x is the figure's right seen from the camera (left to right in the picture), y up,
z towards the camera. A pose is a vector of named targets (hands and feet by position, knees and elbows follow), so
that a whole dance is one (T, D) array and a blend of two poses is a pose.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Poses = NDArray[np.float64]  # (T, D)

FIELDS: Final[dict[str, slice]] = {
    "root_x": slice(0, 1), "root_y": slice(1, 2), "yaw": slice(2, 3),
    "hip_x": slice(3, 4), "hip_y": slice(4, 5), "lean_forward": slice(5, 6), "lean_side": slice(6, 7),
    "twist": slice(7, 8), "nod": slice(8, 9), "tilt": slice(9, 10),
    "hand_l": slice(10, 13), "hand_r": slice(13, 16), "foot_l": slice(16, 19), "foot_r": slice(19, 22),
}  # fmt: skip
DIM: Final = 22

HIP_HEIGHT, HIP_WIDTH, THIGH, SHIN = 0.485, 0.058, 0.25, 0.25
SPINE, SHOULDER_WIDTH, UPPER_ARM, FOREARM = 0.31, 0.105, 0.165, 0.175
NECK_TO_HEAD, FOOT = 0.105, 0.085

JOINTS: Final = (
    "pelvis", "chest", "neck", "head", "shoulder_l", "elbow_l", "hand_l", "shoulder_r", "elbow_r", "hand_r",
    "hip_l", "knee_l", "ankle_l", "toe_l", "hip_r", "knee_r", "ankle_r", "toe_r",
)  # fmt: skip
JOINT: Final = {name: i for i, name in enumerate(JOINTS)}


def pose(**targets: float | tuple[float, float, float]) -> NDArray[np.float64]:
    """Makes the pose (D,) of a standing figure with the named fields set."""
    out = np.zeros(DIM)
    out[FIELDS["hand_l"]] = (-0.05, -0.26, 0.10)
    out[FIELDS["hand_r"]] = (0.05, -0.26, 0.10)
    out[FIELDS["foot_l"]] = (-0.075, 0.0, 0.0)
    out[FIELDS["foot_r"]] = (0.075, 0.0, 0.0)
    for name, value in targets.items():
        out[FIELDS[name]] = value
    return out


def mirrored(poses: Poses) -> Poses:
    """Exchanges left and right of poses (…, D)."""
    out = poses.copy()
    for name in ("root_x", "yaw", "hip_x", "lean_side", "twist", "tilt"):
        out[..., FIELDS[name]] *= -1.0
    flip = np.array([-1.0, 1.0, 1.0])
    for a, b in (("hand_l", "hand_r"), ("foot_l", "foot_r")):
        out[..., FIELDS[a]] = poses[..., FIELDS[b]] * flip
        out[..., FIELDS[b]] = poses[..., FIELDS[a]] * flip
    return out


def joints(poses: Poses) -> NDArray[np.float64]:
    """Computes where every joint is, (T, len(JOINTS), 3), in poses (T, D)."""
    get = {name: poses[:, s] for name, s in FIELDS.items()}
    turn = _yaw(get["yaw"][:, 0])
    root = np.concatenate([get["root_x"], get["root_y"], np.zeros_like(get["root_x"])], axis=1)
    local_pelvis = np.concatenate([get["hip_x"], HIP_HEIGHT + get["hip_y"], np.zeros_like(get["hip_x"])], axis=1)
    pelvis = root + _apply(turn, local_pelvis)
    chest_turn = turn @ _yaw(get["twist"][:, 0]) @ _lean(get["lean_forward"][:, 0], get["lean_side"][:, 0])
    neck = pelvis + _apply(chest_turn, _const((0.0, SPINE, 0.0), len(poses)))
    head_turn = chest_turn @ _lean(get["nod"][:, 0], get["tilt"][:, 0])
    out = np.zeros((len(poses), len(JOINTS), 3))
    out[:, JOINT["pelvis"]] = pelvis
    out[:, JOINT["chest"]] = 0.45 * pelvis + 0.55 * neck
    out[:, JOINT["neck"]] = neck
    out[:, JOINT["head"]] = neck + _apply(head_turn, _const((0.0, NECK_TO_HEAD, 0.01), len(poses)))
    for side, sign in (("l", -1.0), ("r", 1.0)):
        shoulder = neck + _apply(chest_turn, _const((sign * SHOULDER_WIDTH, -0.02, 0.0), len(poses)))
        hand = shoulder + _apply(chest_turn, get[f"hand_{side}"])
        pole = _apply(chest_turn, _const((sign * 0.5, -1.0, -0.6), len(poses)))
        elbow, hand = _two_bones(shoulder, hand, UPPER_ARM, FOREARM, pole)
        hip = pelvis + _apply(turn, _const((sign * HIP_WIDTH, 0.0, 0.0), len(poses)))
        ankle = root + _apply(turn, get[f"foot_{side}"] + np.array([0.0, 0.02, 0.0]))
        forward = _apply(turn, _const((sign * 0.25, 0.0, 1.0), len(poses)))
        knee, ankle = _two_bones(hip, ankle, THIGH, SHIN, forward)
        toe = ankle + FOOT * forward / np.linalg.norm(forward, axis=1, keepdims=True)
        for name, at in (("shoulder", shoulder), ("elbow", elbow), ("hand", hand), ("hip", hip), ("knee", knee)):
            out[:, JOINT[f"{name}_{side}"]] = at
        out[:, JOINT[f"ankle_{side}"]], out[:, JOINT[f"toe_{side}"]] = ankle, toe
    return out


def _const(vector: tuple[float, float, float], count: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(vector), (count, 3))


def _apply(rotation: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("tij,tj->ti", rotation, vectors)


def _yaw(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([c, o, s], -1), np.stack([o, i, o], -1), np.stack([-s, o, c], -1)], axis=-2)


def _lean(forward: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s, o, i = np.cos(forward), np.sin(forward), np.zeros_like(forward), np.ones_like(forward)
    about_x = np.stack([np.stack([i, o, o], -1), np.stack([o, c, -s], -1), np.stack([o, s, c], -1)], axis=-2)
    c, s = np.cos(-side), np.sin(-side)
    about_z = np.stack([np.stack([c, -s, o], -1), np.stack([s, c, o], -1), np.stack([o, o, i], -1)], axis=-2)
    return about_z @ about_x


def _two_bones(
    start: NDArray[np.float64], end: NDArray[np.float64], first: float, second: float, pole: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The joint between two bones that bends towards `pole`, and the end moved within reach."""
    reach = end - start
    distance = np.linalg.norm(reach, axis=1, keepdims=True).clip(1e-6, None)
    axis = reach / distance
    distance = distance.clip(abs(first - second) + 0.02, (first + second) * 0.998)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    height = np.sqrt((first**2 - along**2).clip(0.0, None))
    bend = pole - (pole * axis).sum(1, keepdims=True) * axis
    bend /= np.linalg.norm(bend, axis=1, keepdims=True).clip(1e-6, None)
    return start + along * axis + height * bend, start + distance * axis
