"""Small clips made on the spot: each frame says its number in gray levels, each sound its times in clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

TICKS = 90_000
LEVELS = 14  # gray steps from digit to digit: wide enough for any codec


@dataclass(frozen=True)
class Recipe:
    """What to write. times_s overrides fps and seconds; flashes: the frame nearest to each click is white."""

    video: str | None = "mpeg4"
    audio: str | None = "aac"
    seconds: float = 2.0
    fps: int = 30
    times_s: Sequence[float] | None = None
    size: tuple[int, int] = (160, 96)
    pix_fmt: str = "yuv420p"
    rotate_ccw_deg: float | None = None
    aspect: Fraction | None = None
    picture: NDArray[np.uint8] | None = None  # shown instead of the numbers
    flashes: bool = False
    layout: str = "stereo"
    rate_hz: int = 48_000
    clicks_s: Sequence[float] = (0.5, 1.5)
    sound_seconds: float | None = None
    sound_starts_s: float = 0.0
    video_starts_s: float = 0.0
    sound_gap_s: tuple[float, float] | None = None  # (from, length): time stamps jump, no packets between
    format: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)

    def frame_times_s(self) -> list[float]:
        """When each frame is shown, before video_starts_s."""
        return (
            list(self.times_s)
            if self.times_s is not None
            else [i / self.fps for i in range(round(self.seconds * self.fps))]
        )


def numbered(index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture whose left half says index // 16 and whose right half says index % 16."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2] = 16 + LEVELS * (index // 16)
    image[:, width // 2 :] = 16 + LEVELS * (index % 16)
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """The inverse of `numbered`, of any size, gray or not."""
    gray = image.mean(axis=2) if image.ndim == 3 else image
    quarter = gray.shape[1] // 4
    high, low = (round((half.mean() - 16) / LEVELS) for half in (gray[:, : quarter + 1], gray[:, -quarter - 1 :]))
    return int(high * 16 + low)


def write_clip(path: Path, recipe: Recipe | None = None, **changes: Any) -> Path:
    """Encode the recipe (with changes) to `path`."""
    recipe = replace(recipe or Recipe(), **changes)
    container = av.open(str(path), "w", format=recipe.format, options=recipe.container_options)
    video = _video_track(container, recipe) if recipe.video else None
    sound = _sound_track(container, recipe) if recipe.audio else None
    if video is not None:
        for frame in _frames(recipe):
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    if sound is not None:
        for block in _blocks(recipe, sound.format.name):
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    container.close()
    return path


def _video_track(container: Any, recipe: Recipe) -> Any:
    track = container.add_stream(recipe.video, rate=recipe.fps, options=recipe.codec_options)
    track.width, track.height, track.pix_fmt = *recipe.size, recipe.pix_fmt
    if container.format.name not in ("avi", "gif"):
        track.codec_context.time_base = Fraction(1, 60_000 if recipe.video == "mpeg4" else TICKS)
    if recipe.video == "mpeg4":
        track.codec_context.qscale, track.codec_context.global_quality = True, 236
    if recipe.rotate_ccw_deg is not None:
        track.set_display_rotation(recipe.rotate_ccw_deg)
    if recipe.aspect is not None:
        track.codec_context.sample_aspect_ratio = recipe.aspect
    return track


def _sound_track(container: Any, recipe: Recipe) -> Any:
    options = recipe.codec_options if recipe.video is None else {}
    return container.add_stream(recipe.audio, rate=recipe.rate_hz, layout=recipe.layout, options=options)


def _frames(recipe: Recipe) -> Any:
    times_s = np.asarray(recipe.frame_times_s())
    white = {int(np.abs(times_s - c).argmin()) for c in recipe.clicks_s} if recipe.flashes else set()
    for index, time_s in enumerate(times_s):
        image = numbered(index % 256, recipe.size) if recipe.picture is None else recipe.picture
        if recipe.flashes:
            image = np.full_like(image, 235 if index in white else 16)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = round((time_s + recipe.video_starts_s) * TICKS), Fraction(1, TICKS)
        yield frame


def sound_of(recipe: Recipe) -> NDArray[np.float32]:
    """(N,) the clicks, each 10 ms of a decaying 1 kHz tone that begins exactly at its time."""
    seconds = recipe.seconds if recipe.sound_seconds is None else recipe.sound_seconds
    samples = np.zeros(round(seconds * recipe.rate_hz), np.float32)
    t = np.arange(round(0.01 * recipe.rate_hz)) / recipe.rate_hz
    tone = (0.8 * np.exp(-t / 0.003) * np.cos(2 * np.pi * 1000 * t)).astype(np.float32)
    for click_s in recipe.clicks_s:
        start = round(click_s * recipe.rate_hz)
        part = samples[start : start + len(tone)]
        part += tone[: len(part)]
    return samples


def _blocks(recipe: Recipe, sample_format: str) -> Any:
    samples = sound_of(recipe)
    channels = av.AudioLayout(recipe.layout).nb_channels
    resampler = av.AudioResampler(format=sample_format, layout=recipe.layout, rate=recipe.rate_hz)
    gap_at, gap = recipe.sound_gap_s or (float("inf"), 0.0)
    for start in range(0, len(samples), 1024):
        time_s = start / recipe.rate_hz
        shift_s = recipe.sound_starts_s + (gap if time_s >= gap_at else 0.0)
        block = np.repeat(samples[None, start : start + 1024], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=recipe.layout)
        frame.sample_rate = recipe.rate_hz
        frame.pts, frame.time_base = start + round(shift_s * recipe.rate_hz), Fraction(1, recipe.rate_hz)
        yield from resampler.resample(frame)


def click_times_s(samples: NDArray[np.float32], rate_hz: int) -> list[float]:
    """When the clicks of `sound_of` begin, from a waveform: the first loud sample after 0.1 s without one."""
    loud = np.flatnonzero(np.abs(samples) > 0.35 * np.abs(samples).max()) / rate_hz
    return [float(t) for i, t in enumerate(loud) if i == 0 or t - loud[i - 1] > 0.1]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`clip("name.mp4", **changes of a Recipe)`: the file's path, written once a session."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str, **changes: Any) -> Path:
        key = f"{name} {changes}"
        if key not in made:
            clip_folder = folder / str(len(made))
            clip_folder.mkdir()
            made[key] = write_clip(clip_folder / name, **changes)
        return made[key]

    return make


@pytest.fixture(scope="session")
def read_number() -> Callable[[NDArray[np.uint8]], int]:
    """`number_of`."""
    return number_of


@pytest.fixture(scope="session")
def find_clicks() -> Callable[[NDArray[np.float32], int], list[float]]:
    """`click_times_s`."""
    return click_times_s
