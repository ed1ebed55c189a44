"""The independent detector against motion whose blows are known, and against the file it was drawn into."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.retarget.report.impact_detector import ImpactDetector, detect_impacts, impact_envelope
from mudar.rhythm.metrics import distance_s

BLOWS_S = np.arange(0.7, 4.8, 0.6)
FPS = 30


def centre(t: np.ndarray) -> np.ndarray:
    """How far something has moved that is quick until each blow, 0.6 s apart, and slow right after it."""
    phase = (t - BLOWS_S[0]) / 0.6
    return np.floor(phase) + (phase % 1) ** 3


def frame(t: float) -> np.ndarray:
    """A textured square that swings along the diagonal by `centre`."""
    texture = np.random.default_rng(1).integers(60, 200, (48, 48)).repeat(1, axis=0).astype(np.uint8)
    picture = np.full((180, 180), 30, np.uint8)
    x = round(20 + 90 * abs((float(centre(np.array(t))) / 2 + 5) % 2 - 1))
    picture[x : x + 48, x : x + 48] = texture
    return picture


def test_finds_the_blows_and_no_others() -> None:
    detector = ImpactDetector()
    for number in range(5 * FPS):
        detector.add(number / FPS, frame(number / FPS))
    impacts_s = detector.impacts().times_s
    inside = impacts_s[(impacts_s > 0.6) & (impacts_s < 4.6)]
    assert distance_s(BLOWS_S[:-1], impacts_s).max() < 0.05
    assert len(inside) <= len(BLOWS_S) + 1
    assert detector.jerk() > 0


def test_says_the_same_of_a_file(tmp_path: Path) -> None:
    path, detector = tmp_path / "clip.mp4", ImpactDetector()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(FPS), options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 180, 180, "yuv420p"
        for number in range(3 * FPS):
            detector.add(number / FPS, frame(number / FPS))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number / FPS), format="gray")))
        out.mux(stream.encode(None))
    assert detect_impacts(path).times_s == pytest.approx(detector.impacts().times_s, abs=0.015)


def test_frames_shown_twice_are_no_blows() -> None:
    times = np.arange(91) / FPS
    even = np.full((90, 1), 0.01, np.float32)
    stuttering = even.copy()
    stuttering[10:80:5] = 0.0  # every fifth frame repeats the one before
    stuttering[11:81:5] *= 2  # and the next makes up for it
    clock, envelope = impact_envelope(times, stuttering)
    usual = envelope[(clock > 0.5) & (clock < 2.5)]
    assert usual.max() < 0.02 * 0.3 * FPS / 5  # of what a stop within a fifth of a second would give


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_little_to_see_is_nothing(count: int) -> None:
    detector = ImpactDetector()
    for number in range(count):
        detector.add(number / FPS, frame(number / FPS))
    assert len(detector.impacts().times_s) == 0
    assert detector.jerk() is None
