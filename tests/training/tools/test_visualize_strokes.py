"""Pictures of strokes: which are shown, and that everything is drawn at its own time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mudar.records import Rhythm
from training.tools.visualize_strokes import COLUMNS, contact_sheet, graph, shown_strokes


@pytest.fixture
def brightening(tmp_path: Path) -> Path:
    """Two seconds at 25 fps whose frame k has the grey level 4k + 20."""
    path = tmp_path / "brightening.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for k in range(50):
            image = np.full((96, 128, 3), 4 * k + 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_strokes_about_the_middle_are_shown() -> None:
    times_s = np.arange(0.5, 30, 0.5, dtype=np.float32)
    shown = shown_strokes(times_s, 30.0)
    assert len(shown) == COLUMNS
    assert shown[0] < 15 < shown[-1]
    assert abs(shown.mean() - 15) < 0.5
    assert shown_strokes(times_s[:3], 30.0).tolist() == times_s[:3].tolist()
    assert len(shown_strokes(times_s[:0], 30.0)) == 0


def test_frames_are_those_of_before_at_and_after_the_stroke(brightening: Path) -> None:
    sheet = contact_sheet(brightening, np.array([0.42, 1.03], np.float32))  # within frames 10 and 25
    height, width = sheet.shape[0] // 3, sheet.shape[1] // COLUMNS
    rows, columns = height * np.arange(3) + 20, width * np.arange(2) + width // 2
    levels = sheet[np.ix_(rows, columns)][..., 0].astype(int)
    expected = [
        [4 * k + 20 for k in both] for both in ((8, 23), (10, 25), (13, 28))
    ]  # 0.32, 0.42, 0.52 s; 0.93, 1.03, 1.13 s
    assert np.abs(np.subtract(levels, expected)).max() <= 3


def test_strokes_and_beats_are_drawn_at_their_times() -> None:
    none = np.zeros(0, np.float32)
    dance = Rhythm(np.array([1.0], np.float32), np.ones(1, np.float32), none, 15.0, 120.0)
    music = Rhythm(none, none, none, 100.0, 120.0, beats_s=np.array([3.0], np.float32))
    picture = graph(dance, music, 0.0, 4.0)
    height, width, _ = picture.shape
    above, below = picture[: height // 2 - 2].any(axis=(0, 2)), picture[height // 2 + 2 :].any(axis=(0, 2))
    assert np.flatnonzero(above).mean() == pytest.approx(width / 4, abs=2)
    assert np.flatnonzero(below).mean() == pytest.approx(width * 3 / 4, abs=2)
