"""What editors, cameras and capture cards make: HDR, alpha, mirrors, fields, odd containers; right, and said so."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.media.render.render import Renderer, RenderSettings
from mudar.media.render.source import frames, inspect_video

pytestmark = pytest.mark.slow

NEAREST = RenderSettings("nearest", crf=6)
WIDTH, HEIGHT = 320, 192


def write(path: Path, pictures: list[av.VideoFrame], codec: str, pix_fmt: str, options: dict[str, str], **tags: object):
    """A file of these frames at 30 a second, and its stream's tags."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def rendered(path: Path, song: Path, out: Path, seconds: float = 1.0):
    return Renderer(path, song, NEAREST).render(out, lambda t: t, offset_s=0, duration_s=seconds)


def numbered(painted, pix_fmt: str, count: int = 35) -> list[av.VideoFrame]:
    grey = [np.repeat(painted(k, WIDTH, HEIGHT)[:, :, None], 3, axis=2) for k in range(count)]
    return [av.VideoFrame.from_ndarray(g, format="rgb24").reformat(format=pix_fmt) for g in grey]


def ten_bit(luma: int, cb: int = 512, cr: int = 512) -> av.VideoFrame:
    frame = av.VideoFrame(96, 64, "yuv420p10le")
    for plane, value in zip(frame.planes, (luma, cb, cr), strict=True):
        plane.update(value.to_bytes(2, "little") * (plane.buffer_size // 2))
    return frame


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_tone_mapped_and_said_so(song, tmp_path, luma_of, transfer: int) -> None:
    """A ramp up to 1,000 cd/m²: black stays black, nothing is cut off at the top, the tags are a plain screen's."""
    top = 0.752 if transfer == 16 else 1.0  # PQ's signal there, HLG's
    codes = np.linspace(64, 64 + top * 876, 30).round().astype(int)
    path = write(
        tmp_path / "hdr.mkv",
        [ten_bit(int(code)) for code in codes],
        "libx265",
        "yuv420p10le",
        {"x265-params": "log-level=none:lossless=1"},
        color_primaries=9,
        color_trc=transfer,
        colorspace=9,
        color_range=1,
    )
    done = rendered(path, song, tmp_path / "out.mp4", 0.99)
    levels = np.array([luma.mean() for luma in luma_of(tmp_path / "out.mp4")])
    assert levels[0] == pytest.approx(16, abs=2)
    assert (np.diff(levels)[2:] > 0.3).all()
    assert levels[-1] <= 237
    if transfer == 16:  # white of 203 cd/m² (PQ code 0.58) lies where HDR leaves room above it (ITU-R BT.2408)
        white = np.interp(0.58, (codes[: len(levels)] - 64) / 876, levels)
        assert 180 < white < 225
    assert any("tone-mapped" in note for note in done.notes)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)


def test_wide_colours_come_out_as_the_same_hue(song, tmp_path) -> None:
    """A red of BT.2020 becomes a red of BT.709, not a brown."""
    path = write(
        tmp_path / "red.mkv",
        [ten_bit(300, 450, 720)] * 20,
        "libx265",
        "yuv420p10le",
        {"x265-params": "log-level=none"},
        color_primaries=9,
        color_trc=16,
        colorspace=9,
        color_range=1,
    )
    rendered(path, song, tmp_path / "out.mp4", 0.5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        red, green, blue = next(container.decode(video=0)).to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    assert red > 1.6 * green
    assert red > 1.6 * blue


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("vp9.webm", "libvpx-vp9", "yuva420p", {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}),
        ("prores.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("animation.mov", "qtrle", "argb", {}),
        ("png.mov", "png", "rgba", {}),
    ],
)
def test_alpha_is_dropped_and_said_so(
    painted, song, tmp_path, luma_of, number_of, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    path = write(tmp_path / name, numbered(painted, pix_fmt), codec, pix_fmt, options)
    done = rendered(path, song, tmp_path / "out.mp4")
    assert [number_of(luma) for luma in luma_of(tmp_path / "out.mp4")] == list(range(30))
    assert "Transparency was dropped." in done.notes


@pytest.mark.parametrize(("a", "b", "c", "d"), [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_mirrored_pictures_come_out_as_meant(painter, song, tmp_path, luma_of, a: int, b: int, c: int, d: int) -> None:
    """Stored (x, y) is shown at (a x + c y, b x + d y)."""
    path = tmp_path / "mirrored.mp4"
    painter(path, times=[Fraction(k, 30) for k in range(35)], width=WIDTH, height=HEIGHT)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(
        ">9i", *(n * 0x10000 for n in (a, b)), 0, *(n * 0x10000 for n in (c, d)), *[0] * 3, 1 << 30
    )
    path.write_bytes(data)
    rendered(path, song, tmp_path / "out.mp4", 0.5)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    right, down = a * columns + c * rows, b * columns + d * rows
    shown = np.zeros((down.max() - down.min() + 1, right.max() - right.min() + 1), np.uint8)
    shown[down - down.min(), right - right.min()] = luma_of(path)[11]
    got = luma_of(tmp_path / "out.mp4")[11]
    assert got.shape == shown.shape
    assert np.abs(got.astype(int) - shown).mean() < 3


def test_fields_become_whole_frames(song, tmp_path, luma_of) -> None:
    """A bar that moves between the two fields of a frame leaves a comb, which must be gone."""
    pictures = []
    for number in range(35):
        luma = np.full((HEIGHT, WIDTH), 40, np.uint8)
        for field in (0, 1):
            x = 20 + 6 * number + 3 * field
            luma[field::2, x : x + 30] = 200
        planar = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        planar[:HEIGHT] = luma
        pictures.append(av.VideoFrame.from_ndarray(planar, format="yuv420p"))
    options = {"crf": "4", "preset": "ultrafast", "x264-params": "tff=1"}
    path = write(tmp_path / "fields.mp4", pictures, "libx264", "yuv420p", options)
    done = rendered(path, song, tmp_path / "out.mp4")
    assert any("Interlaced" in note for note in done.notes)

    def comb(luma: np.ndarray) -> float:
        rows = luma.astype(int)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:])[:, 20:].mean())

    before, after = (np.mean([comb(luma) for luma in luma_of(p)[5:25]]) for p in (path, tmp_path / "out.mp4"))
    assert after < 0.3 * before
    places = [np.flatnonzero(luma[HEIGHT // 2] > 120).mean() for luma in luma_of(tmp_path / "out.mp4")[2:28]]
    np.testing.assert_allclose(np.diff(places), 6, atol=1.5)  # no frame lost or shown twice
    assert len(done.shown_s) == 30


def test_pixels_that_are_not_square_stay_so(painted, song, tmp_path) -> None:
    path = write(
        tmp_path / "wide.mp4",
        numbered(painted, "yuv420p"),
        "libx264",
        "yuv420p",
        {"preset": "ultrafast"},
        sample_aspect_ratio=Fraction(16, 11),
    )
    rendered(path, song, tmp_path / "out.mp4", 0.5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("name", ["reordered.mp4", "reordered.mkv", "reordered.avi", "reordered.ts", "bare.h264"])
def test_reordered_frames_and_missing_stamps(painted, song, tmp_path, luma_of, number_of, name: str) -> None:
    """B-frames give an mp4 an edit list, an avi stamps in decoding order, and a bare stream none at all."""
    options = {"crf": "4", "preset": "ultrafast", "bf": "3", "b_strategy": "0", "x264-params": "bframes=3:b-adapt=0"}
    path = write(tmp_path / name, numbered(painted, "yuv420p"), "libx264", "yuv420p", options)
    form = inspect_video(path)
    assert form.rate == (25 if name == "bare.h264" else 30)  # FFmpeg's guess, where the file says nothing
    assert form.duration_s * form.rate == pytest.approx(35, abs=3)
    out = tmp_path / "out.mp4"
    Renderer(path, song, NEAREST).render(out, lambda t: t + 3 / float(form.rate), offset_s=0, duration_s=1)
    assert [number_of(luma) for luma in luma_of(out)] == list(range(3, 3 + int(form.rate)))


def test_an_avi_is_entered_late_in_the_right_place(painted, song, tmp_path, luma_of, number_of) -> None:
    path = write(tmp_path / "long.avi", numbered(painted, "yuv420p", 100), "mpeg4", "yuv420p", {"b": "8M", "bf": "2"})
    out = tmp_path / "out.mp4"
    Renderer(path, song, NEAREST).render(out, lambda t: t + 2.5, offset_s=0, duration_s=0.5)
    assert [number_of(luma) for luma in luma_of(out)] == list(range(75, 90))


def test_a_size_that_changes_on_the_way_is_fitted_in(painted, song, tmp_path, luma_of, number_of) -> None:
    """The second half is half as high: it gets bars above and below, and its frames stay in order."""
    options = {"crf": "4", "preset": "ultrafast", "bf": "0"}
    parts = [tmp_path / "a.h264", tmp_path / "b.h264"]
    write(parts[0], numbered(painted, "yuv420p", 15), "libx264", "yuv420p", options)
    low = [
        av.VideoFrame.from_ndarray(np.repeat(painted(k, WIDTH, HEIGHT // 2)[:, :, None], 3, axis=2))
        for k in range(15, 35)
    ]
    write(parts[1], [f.reformat(format="yuv420p") for f in low], "libx264", "yuv420p", options)
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    out = tmp_path / "out.mp4"
    rendered(path, song, out)
    pictures = luma_of(out)
    assert [number_of(luma) for luma in pictures[:15]] == list(range(15))
    inner = [luma[HEIGHT // 4 : HEIGHT * 3 // 4] for luma in pictures[15:]]
    assert [number_of(luma) for luma in inner] == list(range(15, 25))
    assert all(luma[: HEIGHT // 5].max() < 40 for luma in pictures[16:])


def test_colours_of_a_screen_recording_stay(song, tmp_path) -> None:
    """RGB has no matrix; the output's is named, so that no player has to guess it from the size."""
    colours = np.zeros((64, 96, 3), np.uint8)
    colours[:, :32], colours[:, 32:64], colours[:, 64:] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    pictures = [av.VideoFrame.from_ndarray(colours, format="rgb24").reformat(format="bgr0") for _ in range(20)]
    path = write(tmp_path / "screen.mkv", pictures, "ffv1", "bgr0", {})
    rendered(path, song, tmp_path / "out.mp4", 0.5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == 1
        got = frame.to_ndarray(format="rgb24")
    for x in (16, 48, 80):
        np.testing.assert_allclose(got[32, x].astype(int), colours[32, x].astype(int), atol=8)


def test_frames_come_once_each_from_a_deinterlacer_that_looks_ahead(song, tmp_path) -> None:
    pictures = [av.VideoFrame.from_ndarray(np.full((96, 64), 50 + k, np.uint8), format="yuv420p") for k in range(20)]
    path = write(tmp_path / "f.mp4", pictures, "libx264", "yuv420p", {"preset": "ultrafast", "x264-params": "tff=1"})
    times = [round(time_s * 30) for time_s, _ in frames(path, inspect_video(path))]
    assert times == list(range(20))
