"""Clips whose every frame tells its number: twelve black or white bars, and a patch of growing grey."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

BITS = 8
PATCH_STEP = 2  # grey levels a frame


def painted(number: int, width: int, height: int, bars: bool = True) -> NDArray[np.uint8]:
    """(height, width) luma: bars (which look like cuts) in the upper half, the patch (16 + 2 x number) in the lower."""
    luma = np.full((height, width), 128, np.uint8)
    bar = width // BITS
    for bit in range(BITS if bars else 0):
        luma[: height // 2, bit * bar : (bit + 1) * bar] = 235 if number >> bit & 1 else 16
    luma[height // 2 :] = min(16 + PATCH_STEP * number, 235)
    return luma


def read_number(luma: NDArray[np.uint8]) -> int:
    """The number that the bars spell; only right for an unmixed frame."""
    bar = luma.shape[1] // BITS
    row = luma[luma.shape[0] // 8 : luma.shape[0] * 3 // 8].mean(axis=0)
    return sum(1 << bit for bit in range(BITS) if row[bit * bar + bar // 4 : bit * bar + 3 * bar // 4].mean() > 128)


def read_patch(luma: NDArray[np.uint8]) -> float:
    """The frame number by the patch, fractional for a mixed frame."""
    return float((luma[luma.shape[0] * 5 // 8 : luma.shape[0] * 7 // 8].mean() - 16) / PATCH_STEP)


def write_clip(
    path: Path, *, times: list[Fraction], width: int, height: int, pix_fmt: str = "yuv420p", bars: bool = True
) -> None:
    """A near-lossless clip with frame k shown from times[k] on."""
    codec = "libx264" if pix_fmt.startswith("yuv") else "ffv1"
    options = {"crf": "4", "preset": "ultrafast", "bf": "0"} if codec == "libx264" else {}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30_000)
        for number, at in enumerate(times):
            luma = painted(number, width, height, bars)
            frame = av.VideoFrame.from_ndarray(np.repeat(luma[:, :, None], 3, axis=2), format="rgb24")
            if pix_fmt == "yuv420p" and width % 2 == 0:
                planar = np.full((height * 3 // 2, width), 128, np.uint8)
                planar[:height] = luma
                frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(at * 30_000), Fraction(1, 30_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def read_luma(path: Path) -> list[NDArray[np.uint8]]:
    """Luma planes of every frame of a finished file."""
    with av.open(str(path)) as container:
        return [
            np.frombuffer(f.planes[0], np.uint8).reshape(-1, f.planes[0].line_size)[: f.height, : f.width].copy()
            for f in container.decode(video=0)
        ]


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s of 44.1 kHz stereo: silence with a click at each whole second, click k being k + 1 samples of 5 ms long."""
    path = tmp_path_factory.mktemp("song") / "clicks.wav"
    samples = np.zeros((441_000, 2), np.int16)
    for second in range(10):
        samples[second * 44_100 : second * 44_100 + 400] = 20_000
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(44_100)
        out.writeframes(samples.tobytes())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s, 30 fps, 320 x 180."""
    path = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    write_clip(path, times=[Fraction(k, 30) for k in range(90)], width=320, height=180)
    return path


@pytest.fixture
def painter() -> Callable[..., None]:
    """`write_clip`, for clips of another kind."""
    return write_clip


@pytest.fixture
def luma_of() -> Callable[[Path], list[NDArray[np.uint8]]]:
    """`read_luma`."""
    return read_luma


@pytest.fixture
def number_of() -> Callable[[NDArray[np.uint8]], int]:
    """`read_number`."""
    return read_number


@pytest.fixture
def patch_of() -> Callable[[NDArray[np.uint8]], float]:
    """`read_patch`."""
    return read_patch


@pytest.fixture(name="painted")
def painted_fixture() -> Callable[..., NDArray[np.uint8]]:
    """`painted`."""
    return painted
