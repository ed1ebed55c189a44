"""A beat-to-beat map keeps the dance's relation to the beat; one that ignores the beats does not."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.retarget.report.dance_kept import dance_kept
from mudar.retarget.warp.time_map import time_map

FPS = 30.0


def motion(beats_s: np.ndarray, seconds: float) -> np.ndarray:
    """Speed (J, 4) with a stroke on each beat."""
    times = (np.arange(round(seconds * FPS)) + 0.5) / FPS
    near = np.abs(times[:, None] - beats_s[None]).min(axis=1)
    return np.exp(-0.5 * (near / 0.08) ** 2)[:, None] * np.array([1.0, 0.5, 0.2, 0.8])


def test_beats_on_beats_keep_it_all() -> None:
    own, song = np.arange(0.3, 20, 0.5), np.arange(0.1, 26, 0.6)
    share, chance = dance_kept(motion(own, 20), FPS, own, time_map(song[:38], own[:38], (0.5, 2.0)), song) or (0, 1)
    assert share == pytest.approx(1.0, abs=0.02)
    assert abs(chance) < 0.2


def test_half_a_beat_off_turns_it_round() -> None:
    own, song = np.arange(0.3, 20, 0.5), np.arange(0.1, 26, 0.6)
    warp = time_map(song[:37], own[:37] + 0.25, (0.5, 2.0))
    share, _ = dance_kept(motion(own, 20), FPS, own, warp, song) or (1, 1)
    assert share < 0


def test_another_tempo_keeps_nothing() -> None:
    own, song = np.arange(0.3, 20, 0.5), np.arange(0.1, 26, 0.6)
    warp = time_map(np.array([0.0, 19.0]), np.array([0.0, 19.0]), (0.5, 2.0))
    share, _ = dance_kept(motion(own, 20), FPS, own, warp, song) or (1, 1)
    assert abs(share) < 0.15


def test_few_beats_say_nothing() -> None:
    warp = time_map(np.array([0.0, 9.0]), np.array([0.0, 9.0]), (0.5, 2.0))
    assert dance_kept(motion(np.arange(3.0), 9), FPS, np.arange(3.0), warp, np.arange(9.0)) is None
