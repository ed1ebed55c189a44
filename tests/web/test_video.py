"""A rendered file in a real Chromium: it plays, and it shows the frame that it is told to seek to."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from mudar.media.render.render import Renderer, RenderSettings

RATE, FRAMES, STEP = 25, 150, 1.4  # grey levels a frame
SEEK = """(time_s) => new Promise((done, failed) => {
  const v = document.querySelector("video");
  v.onerror = () => failed(v.error.message);
  v.onseeked = () => v.requestVideoFrameCallback
    ? requestAnimationFrame(() => requestAnimationFrame(() => done(v.currentTime))) : done(v.currentTime);
  v.currentTime = time_s;
})"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, media: Any) -> Path:
    """6 s that grow brighter by a step each frame, rendered at speed 1 beside a song."""
    folder = tmp_path_factory.mktemp("seek")
    with av.open(str(folder / "grey.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(FRAMES):
            planar = np.full((270, 320), 128, np.uint8)
            planar[:180] = round(20 + STEP * number)
            frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    Renderer(folder / "grey.mp4", media.song, RenderSettings("nearest")).render(
        folder / "out.mp4", lambda t: t, offset_s=0.0, duration_s=FRAMES / RATE
    )
    page = "<style>body{margin:0}</style><video src='out.mp4' muted preload='auto' width=320 height=180></video>"
    (folder / "page.html").write_text(page)
    return folder / "page.html"


def frame_shown(page: Page) -> float:
    """The number of the frame on the screen, by its grey."""
    picture = np.asarray(Image.open(io.BytesIO(page.locator("video").screenshot())).convert("L"), float)
    luma = 16 + picture[40:140, 60:260].mean() * 219 / 255
    return float((luma - 20) / STEP)


def test_it_plays_and_seeks_to_the_frame(opened: Any, video: Path) -> None:
    page: Page = opened.page
    page.goto(video.as_uri())
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(FRAMES / RATE, abs=0.05)
    for time_s in (4.5, 1.02, 3.3, 0.3, 5.5):  # there and back, between key frames
        assert page.evaluate(SEEK, time_s) == pytest.approx(time_s, abs=1e-3)
        assert frame_shown(page) == pytest.approx(int(time_s * RATE), abs=1.6)  # a grey level and a half
    page.evaluate(SEEK, 0.0)
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("document.querySelector('video').currentTime > 0.4")
    assert page.evaluate("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames") > 3
    assert not opened.complaints
