"""Colours come out as they went in, whatever matrix, range, depth and subsampling a camera wrote, tagged or not.

The oracle converts by H.273's equations in numpy; nothing of FFmpeg's own conversion is asked.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mudar.media.render.render import Renderer, RenderSettings
from mudar.media.render.source import frames, inspect_video

WEIGHTS = {  # H.273 number of the matrix: (K_R, K_B)
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
UNSPECIFIED, LIMITED, FULL = 2, 1, 2
PATCH = 32
COLOURS = np.array(
    [
        [(40, 180, 60), (200, 40, 40), (40, 60, 200), (230, 220, 40)],
        [(200, 60, 190), (60, 190, 200), (0, 0, 0), (255, 255, 255)],
    ],
    float,
)
SHIFTS = {"420": (1, 1), "422": (1, 0), "444": (0, 0), "440": (0, 1)}


def ycc_of(rgb: np.ndarray, matrix: int, is_full: bool, bits: int) -> np.ndarray:
    """Codes (..., 3) of Y, Cb, Cr for RGB in 0..255."""
    red, blue = WEIGHTS[matrix]
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    parts = np.stack([y, (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))], -1)
    top, scale = 2**bits - 1, 2 ** (bits - 8)
    spans = np.array([top, top, top]) if is_full else scale * np.array([219, 224, 224])
    return parts * spans + (
        np.array([0, top / 2 + 0.5, top / 2 + 0.5]) if is_full else scale * np.array([16, 128, 128])
    )


def rgb_of(ycc: np.ndarray, matrix: int) -> np.ndarray:
    """RGB in 0..255 of 8-bit limited codes (..., 3): the inverse of `ycc_of`."""
    red, blue = WEIGHTS[matrix]
    y, cb, cr = np.moveaxis((ycc - [16, 128, 128]) / [219, 224, 224], -1, 0)
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1) * 255, 0, 255)


def write_patches(path: Path, pix_fmt: str, matrix: int, is_full: bool, tags: dict[str, int], codec: str = "ffv1"):
    """Writes frames of the patches; with tags of the stream as given."""
    form = av.VideoFormat(pix_fmt)
    bits = form.components[0].bits
    codes = ycc_of(COLOURS, matrix, is_full, bits).round().clip(0, 2**bits - 1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=30, options={} if codec == "ffv1" else {"crf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = PATCH * 4, PATCH * 2, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(PATCH * 4, PATCH * 2, pix_fmt)
        for number, plane in enumerate(frame.planes):
            kind = np.dtype("<u2" if bits > 8 else "u1")
            values = np.kron(codes[..., number], np.ones((plane.height // 2, plane.width // 4))).astype(kind)
            row = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
            row[:, : plane.width] = values
            plane.update(row.tobytes())
        if tags.get("color_range"):
            frame.color_range = tags["color_range"]
        if tags.get("colorspace"):
            frame.colorspace = tags["colorspace"]
        for number in range(40 if codec != "ffv1" else 2):
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def patches_of(frame: av.VideoFrame) -> np.ndarray:
    """(2, 4, 3) codes in the middle of the patches of a yuv420p frame."""
    assert frame.format.name in ("yuv420p", "yuvj420p")
    planes = []
    for plane in frame.planes:
        codes = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        height, width = plane.height // 2, plane.width // 4
        planes.append(codes[height // 2 :: height, width // 2 :: width].astype(float))
    return np.stack(planes, -1)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_colours_of_every_matrix_and_range_stay(tmp_path: Path, subsampling: str, bits: int) -> None:
    pix_fmt = f"yuv{subsampling}p" + ("" if bits == 8 else f"{bits}le")
    for matrix, is_full, is_tagged in itertools.product(WEIGHTS, (False, True), (True, False)):
        tags = {"color_range": FULL if is_full else LIMITED}
        if is_tagged:
            tags |= {"colorspace": matrix, "color_primaries": {4: 4, 5: 5, 6: 6, 7: 7}.get(matrix, matrix)}
        path = write_patches(tmp_path / "patches.mkv", pix_fmt, matrix, is_full, tags)
        form = inspect_video(path)
        assert form.matrix == (matrix if is_tagged else UNSPECIFIED)
        for _, frame in frames(path, form):
            error = np.abs(rgb_of(patches_of(frame), matrix) - COLOURS).max()
            assert error <= 3, (pix_fmt, matrix, is_full, is_tagged)


@pytest.mark.parametrize(
    ("pix_fmt", "matrix", "tags", "expected"),
    [
        ("yuv420p10le", 1, {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}, (1, 1, 1)),
        ("yuv422p", 1, {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}, (1, 1, 1)),
        ("yuvj420p", 1, {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 2}, (1, 1, 1)),
        ("yuv420p10le", 9, {"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1}, (9, 14, 9)),
        ("yuvj420p", 6, {}, (2, 2, 2)),
    ],
)
def test_the_output_shows_the_colours_and_tags_of_the_source(song, tmp_path, pix_fmt, matrix, tags, expected) -> None:
    is_full = pix_fmt.startswith("yuvj")
    path = write_patches(tmp_path / "in.mp4", pix_fmt, matrix, is_full, tags, "libx264")
    out = tmp_path / "out.mp4"
    Renderer(path, song, RenderSettings("nearest", crf=6)).render(out, lambda t: t, offset_s=0, duration_s=1)
    with av.open(str(out)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == expected
        assert int(context.color_range) != FULL
        error = np.abs(rgb_of(patches_of(next(container.decode(video=0))), matrix) - COLOURS).max()
    assert error <= 3


def test_a_matrix_that_changes_on_the_way_is_converted_to_the_first(tmp_path: Path) -> None:
    """Two shots joined by an editor: the output has one tag, so the second shot's colours are converted to it."""
    parts = []
    for number, (matrix, is_full) in enumerate([(1, False), (6, True)]):
        tags = {"colorspace": matrix, "color_range": FULL if is_full else LIMITED}
        name = "yuvj420p" if is_full else "yuv420p"
        parts.append(write_patches(tmp_path / f"{number}.h264", name, matrix, is_full, tags, "libx264").read_bytes())
    path = tmp_path / "joined.h264"
    path.write_bytes(b"".join(parts))
    form = inspect_video(path)
    pictures = [frame for _, frame in frames(path, form)]
    assert len(pictures) == 80
    for frame in (pictures[5], pictures[-5]):
        assert np.abs(rgb_of(patches_of(frame), 1) - COLOURS).max() <= 3
