"""Defines sixteen styles: for each stroke a pose, and how the body gets from one to the next.

Knows no picture and no music. SCIENCE of it: the phase of motion is a matter of style, so some styles *land*
(the body stops on the stroke), some *pass* (it is fastest on the stroke) and some *launch* (it starts on the stroke).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.figure import FIELDS, mirrored, pose

Ease = Literal["land", "pass", "launch"]
Rng = np.random.Generator
Array = NDArray[np.float64]

EVERY, ONE_THREE, TWO_FOUR, OFF = (0.0, 1.0, 2.0, 3.0), (0.0, 2.0), (1.0, 3.0), (0.5, 1.5, 2.5, 3.5)


@dataclass(frozen=True)
class Phrase:
    """A cycle of key poses (C, D), one for each stroke, with how they are reached.

    move_s: length of one movement in seconds (cut to the stroke's interval). recoil: share of bouncing back after a
    landing. bob: depth of the knee bounce whose low point falls on the stroke. hop: height of a jump landing on it.
    turns: radians of yaw that each stroke adds.
    """

    keys: Array
    ease: Ease
    move_s: float
    recoil: float = 0.0
    bob: float = 0.0
    hop: float = 0.0
    turns: float = 0.0


@dataclass(frozen=True)
class Style:
    """A movement vocabulary, the bar patterns it strokes on, and the grooves it goes with."""

    name: str
    make: Callable[[Rng], Phrase]
    patterns: tuple[tuple[float, ...], ...]
    grooves: tuple[str, ...]


def _cycle(*poses: Array) -> Array:
    return np.stack(poses)


def _bounce(rng: Rng) -> Phrase:
    hands = {"hand_l": (-0.08, -0.12, 0.2), "hand_r": (0.08, -0.12, 0.2)}
    a = pose(lean_side=0.06, nod=0.15, **hands)
    return Phrase(_cycle(a, mirrored(a)), "land", 0.4, bob=rng.uniform(0.06, 0.12))


def _step_touch(rng: Rng) -> Phrase:
    d = rng.uniform(0.1, 0.18)
    out = pose(root_x=d, foot_l=(-0.19, 0.0, 0.0), hip_y=-0.02, hand_l=(0.02, -0.2, 0.2), hand_r=(0.2, -0.16, 0.05))
    shut = pose(root_x=d, foot_l=(-0.02, 0.02, 0.05), hand_l=(-0.1, -0.2, 0.1), hand_r=(0.06, -0.16, 0.15))
    return Phrase(_cycle(out, shut, mirrored(out), mirrored(shut)), "land", rng.uniform(0.28, 0.4), 0.08, bob=0.02)


def _arm_hits(rng: Rng) -> Phrase:
    up, side = (0.1, 0.3, 0.05), (0.31, 0.02, 0.05)
    front, low = (0.0, 0.02, 0.3), (0.18, -0.27, 0.05)
    menu = [up, side, front, low, (0.03, 0.1, 0.12)]
    order = rng.permutation(len(menu))
    poses = []
    for i in range(4):
        right, left = menu[order[i % 5]], menu[order[(i + 1 + int(rng.integers(2))) % 5]]
        poses.append(pose(hand_r=right, hand_l=(-left[0], left[1], left[2]), twist=0.3 * (-1) ** i, hip_y=-0.02))
    return Phrase(_cycle(*poses), "land", rng.uniform(0.18, 0.28), recoil=0.1)


def _arm_wave(rng: Rng) -> Phrase:
    h = rng.uniform(0.2, 0.3)
    a = pose(hand_l=(-0.22, h, 0.0), hand_r=(0.02, h, 0.0), lean_side=-0.16, hip_x=0.05)
    return Phrase(_cycle(a, mirrored(a)), "pass", rng.uniform(0.55, 0.85))


def _bachata(rng: Rng) -> Phrase:
    d = rng.uniform(0.09, 0.14)
    arms = {"hand_l": (-0.06, -0.1, 0.2), "hand_r": (0.06, -0.1, 0.2)}
    one = pose(root_x=-d, foot_r=(0.17, 0, 0), hip_x=0.03, **arms)
    two = pose(root_x=-d * 0.2, foot_l=(-0.04, 0, 0.02), hip_x=-0.03, **arms)
    three = pose(root_x=d, foot_r=(0.15, 0, 0), hip_x=0.03, **arms)
    four = pose(root_x=d, foot_l=(0.0, 0.03, 0.04), hip_x=0.06, hip_y=0.01, lean_side=-0.12, **arms)
    half = [one, two, three, four]
    return Phrase(_cycle(*half, *[mirrored(p) for p in half]), "pass", rng.uniform(0.34, 0.5), bob=0.0)


def _kick(rng: Rng) -> Phrase:
    high = rng.uniform(0.15, 0.3)
    kick = pose(foot_r=(0.12, high, 0.34), lean_forward=-0.1, hand_l=(-0.1, 0.0, 0.25), hand_r=(0.22, -0.1, -0.05))
    gather = pose(foot_r=(0.07, 0.1, -0.12), hip_y=-0.03, lean_forward=0.08)
    side = pose(foot_r=(0.36, high * 0.8, 0.05), lean_side=-0.15, hand_l=(-0.28, 0.05, 0.0), hand_r=(0.2, 0.05, 0.0))
    chosen = kick if rng.uniform() < 0.5 else side
    return Phrase(_cycle(chosen, gather, mirrored(chosen), mirrored(gather)), "land", rng.uniform(0.25, 0.35), 0.1)


def _clap(rng: Rng) -> Phrase:
    y = rng.uniform(-0.05, 0.22)
    shut = pose(hand_l=(0.1, y, 0.18), hand_r=(-0.1, y, 0.18), hip_y=-0.03, nod=0.12)
    wide = rng.uniform(0.18, 0.3)
    wide_pose = pose(hand_l=(-wide, y, 0.1), hand_r=(wide, y, 0.1))
    left = shut + 0.0
    left[FIELDS["lean_side"]] = 0.12
    return Phrase(_cycle(shut, wide_pose, left, wide_pose), "land", rng.uniform(0.2, 0.3), recoil=0.15)


def _jump(rng: Rng) -> Phrase:
    closed = pose(hand_l=(-0.1, -0.3, 0.02), hand_r=(0.1, -0.3, 0.02), foot_l=(-0.05, 0, 0), foot_r=(0.05, 0, 0))
    wide = pose(hand_l=(-0.24, 0.2, 0), hand_r=(0.24, 0.2, 0), foot_l=(-0.19, 0, 0), foot_r=(0.19, 0, 0), hip_y=-0.03)
    return Phrase(_cycle(wide, closed), "land", 0.4, bob=0.03, hop=rng.uniform(0.04, 0.1))


def _spin(rng: Rng) -> Phrase:
    turn = float(rng.choice([np.pi / 2, np.pi, 2 * np.pi])) * float(rng.choice([-1, 1]))
    a = pose(hand_l=(-0.26, 0.02, 0.08), hand_r=(0.26, 0.02, 0.08), foot_l=(-0.1, 0, 0), foot_r=(0.1, 0, 0))
    b = pose(hand_l=(0.05, -0.05, 0.2), hand_r=(-0.05, -0.05, 0.2), hip_y=-0.03)
    return Phrase(_cycle(a, b), "land", rng.uniform(0.4, 0.55), turns=turn)


def _twist(rng: Rng) -> Phrase:
    arms = {"hand_l": (-0.16, -0.1, 0.16), "hand_r": (0.16, -0.1, 0.16)}
    a = pose(twist=rng.uniform(0.5, 0.8), yaw=-0.35, hip_y=-0.05, foot_l=(-0.12, 0, 0), foot_r=(0.12, 0, 0), **arms)
    return Phrase(_cycle(a, mirrored(a)), "pass", rng.uniform(0.3, 0.45))


def _hip_sway(rng: Rng) -> Phrase:
    d = rng.uniform(0.07, 0.1)
    arms = {"hand_l": (-0.02, 0.28, 0.0), "hand_r": (0.1, -0.25, 0.05)} if rng.uniform() < 0.5 else {}
    a = pose(hip_x=d, lean_side=-0.28, foot_l=(-0.13, 0, 0), foot_r=(0.13, 0, 0), **arms)
    b = a.copy()
    b[FIELDS["hip_x"]], b[FIELDS["lean_side"]] = -d, 0.28
    return Phrase(_cycle(a, b), "pass", rng.uniform(0.5, 0.9))


def _punch(rng: Rng) -> Phrase:
    guard = {"hand_l": (0.03, -0.02, 0.14), "hand_r": (-0.03, -0.02, 0.14)}
    reach = rng.uniform(0.26, 0.33)
    jab = pose(hand_r=(0.12, 0.05, reach), twist=-0.5, **{k: v for k, v in guard.items() if k == "hand_l"})
    side = pose(hand_r=(reach, 0.06, 0.08), twist=0.3, **{k: v for k, v in guard.items() if k == "hand_l"})
    return Phrase(_cycle(jab, mirrored(jab), side, mirrored(side)), "launch", rng.uniform(0.05, 0.08))


def _body_roll(rng: Rng) -> Phrase:
    back = pose(lean_forward=-0.3, hip_y=-0.05, nod=-0.3, hand_l=(-0.1, 0.05, 0.2), hand_r=(0.1, 0.05, 0.2), yaw=0.9)
    front = pose(lean_forward=0.45, hip_y=-0.1, nod=0.3, hand_l=(-0.1, -0.2, 0.2), hand_r=(0.1, -0.2, 0.2), yaw=0.9)
    keys = _cycle(back, front)
    return Phrase(keys if rng.uniform() < 0.5 else mirrored(keys), "pass", rng.uniform(0.5, 0.8))


def _march(rng: Rng) -> Phrase:
    high = rng.uniform(0.12, 0.22)
    a = pose(
        foot_r=(0.075, high, 0.14), hand_l=(-0.04, -0.02, 0.22), hand_r=(0.08, -0.26, -0.1), hip_x=-0.02, twist=0.2
    )
    return Phrase(_cycle(a, mirrored(a)), "land", rng.uniform(0.3, 0.4), recoil=0.05, bob=0.015)


def _disco(rng: Rng) -> Phrase:
    up = pose(hand_r=(0.2, 0.27, 0.05), hand_l=(-0.1, -0.16, 0.05), hip_x=-0.05, lean_side=-0.1, foot_r=(0.16, 0, 0))
    down = pose(hand_r=(-0.24, -0.22, 0.16), hand_l=(-0.1, -0.16, 0.05), hip_x=0.05, twist=-0.35, foot_r=(0.16, 0, 0))
    keys = _cycle(up, down)
    return Phrase(keys if rng.uniform() < 0.5 else mirrored(keys), "land", rng.uniform(0.25, 0.4), recoil=0.08)


def _lunge(rng: Rng) -> Phrase:
    d = rng.uniform(0.2, 0.28)
    a = pose(root_x=0.08, foot_r=(d, 0, 0.1), foot_l=(-d * 0.8, 0, 0), hip_y=-0.12, hip_x=0.08,
             hand_r=(0.29, 0.03, 0.1), hand_l=(-0.29, 0.1, 0.0), lean_side=0.12)  # fmt: skip
    up = pose(hand_l=(0.02, -0.05, 0.2), hand_r=(-0.02, -0.05, 0.2))
    return Phrase(_cycle(a, up, mirrored(a), up), "land", rng.uniform(0.3, 0.45), recoil=0.06)


STYLES: Final[tuple[Style, ...]] = (
    Style("bounce", _bounce, (EVERY, EVERY, OFF), ("hiphop", "reggaeton")),
    Style("step_touch", _step_touch, (EVERY,), ("house", "rock")),
    Style("arm_hits", _arm_hits, (EVERY, ONE_THREE, TWO_FOUR), ("house", "hiphop")),
    Style("arm_wave", _arm_wave, (ONE_THREE,), ("ballad", "house")),
    Style("bachata", _bachata, (EVERY,), ("bachata",)),
    Style("kick", _kick, (EVERY, ONE_THREE), ("rock", "funk")),
    Style("clap", _clap, (EVERY, EVERY, TWO_FOUR), ("funk", "rock")),
    Style("jump", _jump, (EVERY,), ("house", "rock")),
    Style("spin", _spin, (ONE_THREE,), ("ballad", "bachata")),
    Style("twist", _twist, (EVERY,), ("rock", "funk")),
    Style("hip_sway", _hip_sway, (EVERY, ONE_THREE), ("reggaeton", "bachata")),
    Style("punch", _punch, (EVERY, OFF), ("hiphop", "house")),
    Style("body_roll", _body_roll, (ONE_THREE, EVERY), ("reggaeton", "hiphop")),
    Style("march", _march, (EVERY,), ("funk", "house")),
    Style("disco", _disco, (EVERY, ONE_THREE), ("funk", "house")),
    Style("lunge", _lunge, (ONE_THREE, EVERY), ("hiphop", "ballad")),
)
STYLE: Final = {style.name: style for style in STYLES}
