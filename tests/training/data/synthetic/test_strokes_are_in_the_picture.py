"""The strokes that a generated dancer states are where her rendered motion says they are."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from training.data.synthetic.clip import Clip, make_clip

pytestmark = pytest.mark.slow

FPS = 30.0


def flow_speed(clip: Clip) -> np.ndarray:
    """Mean optical flow between frames at FPS, camera removed; value k belongs to the moment (k + .5) / FPS."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    gray = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in clip.dance.frames(FPS, 128, 128)]
    fields = [flow.calc(a, b, None) for a, b in itertools.pairwise(gray)]
    return np.array([np.hypot(*np.moveaxis(f - np.median(f, axis=(0, 1)), 2, 0)).mean() for f in fields])


def around(speed: np.ndarray, strokes_s: tuple[float, ...], offset_s: float) -> float:
    """Mean speed at all strokes plus the offset, in units of the clip's mean speed."""
    at = (np.arange(len(speed)) + 0.5) / FPS
    return float(np.interp(np.asarray(strokes_s) + offset_s, at, speed).mean() / speed.mean())


@pytest.mark.parametrize("style", ["arm_hits", "kick"])
def test_a_landing_brakes_on_the_stroke(style: str) -> None:
    clip = make_clip(5, 6.0, style=style, tempo_bpm=105.0)
    speed = flow_speed(clip)
    assert around(speed, clip.truth.strokes_s, -0.06) > 1.3 * around(speed, clip.truth.strokes_s, 0.06)


@pytest.mark.parametrize("style", ["twist", "bachata"])
def test_a_pass_is_fastest_on_the_stroke(style: str) -> None:
    clip = make_clip(8, 6.0, style=style, tempo_bpm=100.0)
    gap_s = float(np.median(np.diff(clip.truth.strokes_s)))
    speed = flow_speed(clip)
    between = 0.5 * (around(speed, clip.truth.strokes_s, gap_s / 2) + around(speed, clip.truth.strokes_s, -gap_s / 2))
    assert around(speed, clip.truth.strokes_s, 0.0) > 1.3 * between


def test_a_launch_starts_on_the_stroke() -> None:
    clip = make_clip(5, 6.0, style="punch", tempo_bpm=95.0)
    speed = flow_speed(clip)
    assert around(speed, clip.truth.strokes_s, 0.04) > 1.5 * around(speed, clip.truth.strokes_s, -0.06)


def test_a_wrong_clock_would_be_noticed() -> None:
    """The first test's figure, taken half a stroke away, says nothing of the kind: the assertion can fail."""
    clip = make_clip(5, 6.0, style="arm_hits", tempo_bpm=105.0)
    gap_s = float(np.median(np.diff(clip.truth.strokes_s)))
    speed, wrong = flow_speed(clip), tuple(t + gap_s / 2 for t in clip.truth.strokes_s)
    assert around(speed, wrong, -0.06) < 1.3 * around(speed, wrong, 0.06)
