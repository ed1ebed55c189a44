"""Rendering what phones and cameras make: variable rates, turned pictures, odd sizes, ten bits; cuts, late starts."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mudar.errors import NoAudioStream, NoVideoStream
from mudar.media.render.format import output_rate
from mudar.media.render.render import Renderer, RenderSettings

pytestmark = pytest.mark.slow

NEAREST = RenderSettings("nearest", crf=8)


def test_variable_rate_follows_the_time_stamps(painter, song, tmp_path, luma_of, number_of) -> None:
    times = [Fraction(k, 30) for k in range(30)] + [1 + Fraction(k, 15) for k in range(15)]  # 30 fps, then 15
    painter(tmp_path / "vfr.mp4", times=times, width=320, height=180)
    renderer = Renderer(tmp_path / "vfr.mp4", song, NEAREST)
    assert renderer.fps == int(renderer.fps)
    renderer.render(tmp_path / "out.mp4", lambda t: t, offset_s=0, duration_s=1.9)
    numbers = [number_of(luma) for luma in luma_of(tmp_path / "out.mp4")]
    at = np.array([float(t) for t in times])
    shown = at[numbers]
    expected = np.arange(len(numbers)) / renderer.fps
    assert np.abs(shown - expected).max() <= 1 / 30 + 1e-3  # half of the longest frame


@pytest.mark.parametrize(("matrix", "turn"), [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2)])
def test_turned_pictures_come_out_upright(painter, song, tmp_path, luma_of, number_of, matrix, turn) -> None:
    path = tmp_path / "turned.mp4"
    painter(path, times=[Fraction(k, 30) for k in range(35)], width=320, height=192)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (x * 0x10000 for x in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    Renderer(path, song, NEAREST).render(tmp_path / "out.mp4", lambda t: t, offset_s=0, duration_s=1)
    frames = luma_of(tmp_path / "out.mp4")
    assert frames[0].shape == ((192, 320) if turn == 2 else (320, 192))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0
    assert [number_of(np.rot90(luma, -turn)) for luma in frames] == list(range(30))


def test_odd_sizes_lose_their_last_row_and_column(painter, song, tmp_path, luma_of, number_of) -> None:
    painter(tmp_path / "odd.mkv", times=[Fraction(k, 30) for k in range(35)], width=321, height=181, pix_fmt="bgr0")
    Renderer(tmp_path / "odd.mkv", song, NEAREST).render(tmp_path / "out.mp4", lambda t: t, offset_s=0, duration_s=1)
    frames = luma_of(tmp_path / "out.mp4")
    assert frames[0].shape == (180, 320)
    assert [number_of(luma) for luma in frames] == list(range(30))


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "yuvj420p"])
def test_other_pixel_formats_become_eight_bit_420(
    painter, song, tmp_path, luma_of, number_of, patch_of, pix_fmt
) -> None:
    painter(tmp_path / "in.mp4", times=[Fraction(k, 30) for k in range(35)], width=320, height=180, pix_fmt=pix_fmt)
    Renderer(tmp_path / "in.mp4", song, NEAREST).render(tmp_path / "out.mp4", lambda t: t, offset_s=0, duration_s=1)
    frames = luma_of(tmp_path / "out.mp4")
    assert [number_of(luma) for luma in frames] == list(range(30))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_late_start_seeks_and_still_shows_the_right_frames(clip, song, tmp_path, luma_of, number_of) -> None:
    Renderer(clip, song, NEAREST).render(tmp_path / "out.mp4", lambda t: 2.2 + 0.8 * t, offset_s=0, duration_s=0.9)
    numbers = [number_of(luma) for luma in luma_of(tmp_path / "out.mp4")]
    assert np.abs(np.array(numbers) - 30 * (2.2 + 0.8 * np.arange(27) / 30)).max() <= 0.51


def test_cuts_are_never_mixed(
    song,
    tmp_path,
    luma_of,
) -> None:
    path = tmp_path / "cut.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(45):
            grey = np.full((180, 320, 3), 40 if k < 20 else 200, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    for interpolation in ("blend", "flow"):
        done = Renderer(path, song, RenderSettings(interpolation, crf=8)).render(
            tmp_path / "out.mp4", lambda t: 0.01 + 0.9 * t, offset_s=0, duration_s=1
        )
        levels = np.array([luma.mean() for luma in luma_of(tmp_path / "out.mp4")])
        assert done.interpolated.any()
        assert ((levels < 60) | (levels > 170)).all()


def test_rates() -> None:
    assert output_rate(Fraction(30_000, 1001)) == Fraction(30_000, 1001)
    assert output_rate(Fraction(2997, 100)) == Fraction(30_000, 1001)
    assert output_rate(Fraction(2983, 100)) == 30
    assert output_rate(Fraction(25)) == 25
    assert output_rate(None) == 30
    assert output_rate(Fraction(90_000)) == 120


def test_a_song_is_no_dance_and_a_mute_clip_no_song(clip: Path, song: Path) -> None:
    with pytest.raises(NoVideoStream):
        Renderer(song, song)
    with pytest.raises(NoAudioStream):
        Renderer(clip, clip)


def test_flow_moves_what_moves(song, tmp_path, luma_of) -> None:
    """A disc on a textured ground, moving 6 pixels a frame: flow puts it where it belongs, a cross-fade does not."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(60, 120, (180, 320)).astype(np.uint8), (5, 5), 0)
    disc = cv2.GaussianBlur(rng.integers(150, 255, (60, 60)).astype(np.uint8), (5, 5), 0)

    def scene(x: float) -> np.ndarray:
        moved = cv2.warpAffine(disc, np.array([[1, 0, x], [0, 1, 60]], np.float32), (320, 180))
        return np.where(moved > 60, moved, ground)

    with av.open(str(tmp_path / "disc.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(40):
            grey = np.repeat(scene(6.0 * k)[:, :, None], 3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    errors = {}
    for interpolation in ("blend", "flow"):
        Renderer(tmp_path / "disc.mp4", song, RenderSettings(interpolation, crf=8)).render(
            tmp_path / "out.mp4", lambda t: 1.1 * t + 0.5 / 30, offset_s=0, duration_s=1
        )
        frames = luma_of(tmp_path / "out.mp4")
        truth = [16 + scene(6.0 * (1.1 * k + 0.5)) * (219 / 255) for k in range(30)]
        errors[interpolation] = np.mean([np.abs(f - t).mean() for f, t in zip(frames, truth, strict=True)])
    assert errors["flow"] < 0.6 * errors["blend"]
