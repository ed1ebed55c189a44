"""Motions whose strokes are known, for the tests of peaks and of motion speed."""

from collections.abc import Callable

import numpy as np

Times = np.ndarray


def sway(period_s: float, first_s: float) -> Callable[[Times], Times]:
    """How far a body has gone by t when its speed is 1 + cos, fastest at first_s + k period_s."""
    return lambda t: t + period_s / (2 * np.pi) * np.sin(2 * np.pi * (t - first_s) / period_s)


def film(
    far: Callable[[Times], Times], fps: float, noise: float = 0.05, duration_s: float = 20.0
) -> tuple[Times, Times]:
    """Frame times, and displacement from each frame to the next with the flow's noise on it."""
    times_s = np.arange(round(duration_s * fps)) / fps
    moved = np.concatenate([[0.0], np.diff(far(times_s))])
    return times_s, np.maximum(moved + np.random.default_rng(1).normal(0, noise / fps, len(moved)), 0)
