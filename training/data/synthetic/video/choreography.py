"""Turns a phrase and stroke times into poses over time. Knows no picture and no sound.

A stroke is where its style says the motion has its landmark: a landing's stop, a pass's fastest moment, a launch's
first moment. Smoothing is symmetric in time, so it blunts a landmark without moving it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.synthetic.video.figure import DIM, FIELDS
from training.data.synthetic.video.styles import Phrase

Array = NDArray[np.float64]
RATE_HZ = 240.0  # motion is computed on this grid and read off it


def perform(phrase: Phrase, strokes_s: Array, accents: Array, duration_s: float, rng: np.random.Generator) -> Array:
    """Poses on the RATE_HZ grid from 0 to `duration_s`. strokes_s: (S,) ascending; accents: (S,) scale each key pose.

    Strokes outside the clip are welcome: they shape how it starts and ends. Returns (N, D).
    """
    times = np.arange(int(duration_s * RATE_HZ) + 2) / RATE_HZ
    rest = phrase.keys.mean(axis=0)
    keys = rest + (phrase.keys[np.arange(len(strokes_s)) % len(phrase.keys)] - rest) * accents[:, None]
    keys[:, FIELDS["yaw"].start] += phrase.turns * np.arange(len(strokes_s))
    index = np.clip(np.searchsorted(strokes_s, times, side="right") - 1, 0, len(strokes_s) - 2)
    since_s, gap_s = times - strokes_s[index], strokes_s[index + 1] - strokes_s[index]
    poses = _travel(phrase, keys, index, since_s, gap_s)
    share = np.clip(since_s / gap_s, 0.0, 1.0)
    if phrase.bob:
        poses[:, FIELDS["hip_y"].start] -= phrase.bob * (1.0 - np.abs(np.sin(np.pi * share)) ** 1.2)
    if phrase.hop:
        air = np.clip((share - 0.4) / 0.6, 0.0, 1.0)
        poses[:, FIELDS["root_y"].start] += phrase.hop * 4.0 * air * (1.0 - air)
    return _smooth(poses, sigma_s=0.018) + _idle(rng, len(times))


def _travel(phrase: Phrase, keys: Array, index: NDArray[np.int_], since_s: Array, gap_s: Array) -> Array:
    """Poses at each moment, `since_s` after stroke `index`, before the next one in `gap_s`. (N, D)"""
    last = len(keys) - 1
    here, after = keys[index], keys[np.minimum(index + 1, last)]
    before = keys[np.maximum(index - 1, 0)]
    if phrase.ease == "launch":
        share = 1.0 - np.exp(-since_s / phrase.move_s)
        return before + (here - before) * share[:, None]
    move_s = np.minimum(phrase.move_s, 0.85 * gap_s if phrase.ease == "land" else gap_s)
    if phrase.ease == "land":
        share = np.clip(1.0 - (gap_s - since_s) / move_s, 0.0, 1.0) ** 1.8
        back = phrase.recoil * np.sin(2 * np.pi * since_s / 0.28) * np.exp(-since_s / 0.12)
        return here + (after - here) * share[:, None] - (here - before) * back[:, None]
    # `pass`: the way from key k-1 to key k is centred on stroke k; so half of it lies on either side.
    leaving = _ease(0.5 + since_s / move_s)
    arriving = _ease(0.5 - (gap_s - since_s) / move_s)
    return before + (here - before) * leaving[:, None] + (after - here) * arriving[:, None]


def _ease(share: Array) -> Array:
    share = np.clip(share, 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * share)


def _smooth(poses: Array, sigma_s: float) -> Array:
    radius = int(4 * sigma_s * RATE_HZ)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma_s * RATE_HZ)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(poses, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(padded[:, d], kernel, mode="valid") for d in range(poses.shape[1])], axis=1)


def _idle(rng: np.random.Generator, count: int) -> Array:
    """What a body does besides: slow wandering of everything, a little. (count, D)"""
    knots = max(int(count / RATE_HZ / 1.2), 2) + 2
    scale = np.full(DIM, 0.008)
    scale[FIELDS["root_x"]], scale[FIELDS["yaw"]] = 0.04, 0.06
    scale[FIELDS["root_y"]] = scale[FIELDS["foot_l"]] = scale[FIELDS["foot_r"]] = 0.0
    at = np.linspace(0, knots - 1, count)
    low = np.floor(at).astype(int).clip(0, knots - 2)
    mix = _ease(at - low)[:, None]
    values = rng.normal(size=(knots, DIM)) * scale
    return values[low] * (1 - mix) + values[low + 1] * mix
