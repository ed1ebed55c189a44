"""Extracts the motion of a video file, streaming: descriptors at the model's rate, and native displacement.

One decode feeds both, in a thread ahead of the flow; what is held is the descriptors and a few frames, whatever the
length. The laboratory and the Embedder both read real clips here. Knows no network: whoever wants the frames
themselves passes `on_frame`. Sections 3.1.2 and 4.1.

Shapes: T model frames; M = spec.motion_dim; K native frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.errors import MediaTooShort, StillVideo
from mudar.features.flow import FlowEstimator, Size, as_square, make_flow, scaled_size
from mudar.features.hoof import camera, four_directions, mean_descriptor
from mudar.media.decode.container import open_media
from mudar.media.decode.prefetch import Prefetcher
from mudar.media.decode.video import NativeFrame, iter_dual
from mudar.progress import Progress, ignore
from mudar.records import Array
from mudar.spec import FeatureSpec, VideoSpec

Image = NDArray[np.uint8]
FrameCallback = Callable[[Image], None]

STILL_SIDES_S = 1e-3  # a dancer moves the mean pixel by 0.01-0.2 picture sides a second
STILL_LEVELS = 6.0  # and changes the most changed hundredth of a small picture by 40-180 levels; grain, by up to 4
_MOST_CHANGED = 0.01
_AHEAD_FRAMES = 48  # small frames: at 128 x 128, a megabyte
_REPORT_EVERY = 32  # native frames


@dataclass(frozen=True)
class Motion:
    """Holds the motion of a file. between: (T - 1, M), row k from frame k to k + 1 of `fps`, in sides a second.

    native_times_s: (K,) when each frame of the file is shown; native_directed: (K, 4) its mean motion from the one
    before, in picture sides, to the right, down, left and up; native_displacement: (K,) their sums. change_levels: of
    255, how much the most changed hundredth of the picture changed from one sample to the next. stage_s: seconds that
    each stage was busy; decoding runs beside the rest.
    """

    between: Array
    fps: float
    duration_s: float
    native_times_s: NDArray[np.float64]
    native_directed: NDArray[np.float64]
    change_levels: NDArray[np.float64]
    stage_s: dict[str, float]

    @property
    def native_displacement(self) -> NDArray[np.float64]:
        """Sums the displacement over the directions: (K,)."""
        return self.native_directed.sum(axis=1)

    @property
    def frames(self) -> int:
        """Returns T, the number of model frames."""
        return len(self.between) + 1


def extract_motion(
    path: str | Path,
    spec: FeatureSpec,
    *,
    flow: FlowEstimator | None = None,
    on_frame: FrameCallback | None = None,
    frame_size_px: int | None = None,
    progress: Progress = ignore,
) -> Motion:
    """Extracts all of a file's motion. Raises MediaTooShort, StillVideo and the decoder's MediaErrors.

    `on_frame` is called with each of the T sampled frames in order, (frame_size_px, frame_size_px, 3) RGB; the flow is
    then computed on what these are made of, scaled to its own size.
    """
    accumulator = _MotionAccumulator(spec.video, flow or make_flow(spec.video), on_frame, frame_size_px)
    seconds = _stated_duration_s(path)
    spent = {"decode": 0.0}

    def produce() -> Iterator[NativeFrame]:
        frames = iter_dual(
            path,
            fps=spec.video.fps,
            size=accumulator.size,
            native_size=(spec.video.native_size_px,) * 2,
            native_fps_max=spec.video.native_fps_max,
            pixel="rgb24" if on_frame else accumulator.flow.pixel,
        )
        return _timed(frames, spent)

    with Prefetcher(produce, _AHEAD_FRAMES) as frames:
        for frame in frames:
            accumulator.add(frame)
            if frame.index % _REPORT_EVERY == 0:
                progress(frame.time_s / seconds if seconds else 0.0, "watch")
    motion = accumulator.motion(spent["decode"])
    _check(motion, spec, Path(path).name)
    progress(1.0, "watch")
    return motion


class _MotionAccumulator:
    """Accumulates the motion of frames that come one by one."""

    def __init__(
        self, spec: VideoSpec, flow: FlowEstimator, on_frame: FrameCallback | None, frame_size_px: int | None
    ) -> None:
        self.spec, self.flow, self._on_frame = spec, flow, on_frame
        self._frame_size_px = frame_size_px
        self._native_flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._small: Image | None = None
        self._sampled: tuple[float, Image] | None = None  # when it was really shown, and what
        self._native_times_s: list[float] = []
        self._directed: list[NDArray[np.float64]] = []
        self._sampled_small: Image | None = None
        self._change: list[float] = []
        self._middles_s: list[float] = []
        self._descriptors: list[Array] = []
        self._samples = 0
        self._busy_s = 0.0

    def size(self, shown: Size) -> Size:
        """Returns the (width, height) at which a file displayed at this size is sampled."""
        if self._frame_size_px is None:
            return self.flow.size(shown)
        return scaled_size(shown, self._frame_size_px, self.spec.flow_shape)

    def add(self, frame: NativeFrame) -> None:
        """Adds one more frame of the file."""
        began = time.perf_counter()
        self._native_times_s.append(frame.time_s)
        none = np.zeros(4)
        self._directed.append(none if self._small is None else self._displacement(self._small, frame.gray_small))
        self._small = frame.gray_small
        if frame.sampled:
            self._sample(frame)
        self._busy_s += time.perf_counter() - began

    def _displacement(self, before: Image, after: Image) -> NDArray[np.float64]:
        """Returns the (4,) mean motion in picture sides by direction, without the camera's."""
        flow = self._native_flow.calc(before, after, None)  # type: ignore[call-overload]
        u, v = cv2.split(flow)
        if self.spec.remove_camera:
            u, v = u - camera(u), v - camera(v)
        return four_directions(u, v) / self.spec.native_size_px**3  # the mean of the picture's pixels

    def _sample(self, frame: NativeFrame) -> None:
        """Compares a sample with the one before; their true distance in time, not 1/fps, makes a motion a speed.

        A file slower than the model's rate gives one frame for several samples: it is compared once.
        """
        image = frame.sampled[0].image
        self._samples += len(frame.sampled)
        if self._on_frame is not None:
            square = as_square(image, self._frame_size_px or image.shape[0])
            for _ in frame.sampled:
                self._on_frame(square)
        if self._sampled is not None and frame.time_s > self._sampled[0]:
            before_s, before = self._sampled
            rate = 1.0 / (frame.time_s - before_s)
            self._descriptors.append(mean_descriptor(self.flow(before, image), self.spec, rate))
            self._middles_s.append((before_s + frame.time_s) / 2)
        if self._sampled_small is not None:
            self._change.append(_change_levels(self._sampled_small, frame.gray_small))
        self._sampled, self._sampled_small = (frame.time_s, image), frame.gray_small

    def motion(self, decode_s: float) -> Motion:
        """Returns the motion so far, on an even clock."""
        clock = np.arange(0.5, self._samples - 1, dtype=np.float64) / self.spec.fps
        times = np.array(self._native_times_s)
        step_s = float(np.median(np.diff(times))) if len(times) > 1 else 1 / self.spec.fps
        return Motion(
            between=_on_clock(clock, np.array(self._middles_s), self._descriptors, self.spec.motion_dim),
            fps=self.spec.fps,
            duration_s=float(times[-1]) + step_s if len(times) else 0.0,
            native_times_s=times,
            native_directed=np.array(self._directed).reshape(-1, 4),
            change_levels=np.array(self._change),
            stage_s={"decode": decode_s, "flow": self._busy_s},
        )


def _on_clock(clock: NDArray[np.float64], middles_s: NDArray[np.float64], rows: list[Array], dim: int) -> Array:
    """Interpolates (len(clock), M) rows linearly between those known at `middles_s`."""
    if not rows:
        return np.zeros((len(clock), dim), np.float32)
    known = np.stack(rows)
    right = np.clip(np.searchsorted(middles_s, clock), 1, max(len(rows) - 1, 1))
    left, right = right - 1, np.minimum(right, len(rows) - 1)
    gap_s = np.maximum(middles_s[right] - middles_s[left], 1e-9)
    share = np.clip((clock - middles_s[left]) / gap_s, 0.0, 1.0).astype(np.float32)[:, None]
    return known[left] * (1 - share) + known[right] * share


def _change_levels(before: Image, after: Image) -> float:
    difference = cv2.absdiff(before, after).ravel()
    at = round((1 - _MOST_CHANGED) * (difference.size - 1))
    return float(np.partition(difference, at)[at])


def _check(motion: Motion, spec: FeatureSpec, name: str) -> None:
    """Refuses what has no rhythm in it."""
    if motion.duration_s < spec.segment.min_s - 1e-3:
        raise MediaTooShort(f"{name} shows {motion.duration_s:.2f} s; at least {spec.segment.min_s:g} s are needed.")
    speed = motion.between[:, spec.video.hoof_bins]
    # Flow between two pictures of the same grain is anything at all, so that it moves is not enough.
    moves = len(speed) and float(np.quantile(speed, 0.95)) >= STILL_SIDES_S
    changes = len(motion.change_levels) and float(np.quantile(motion.change_levels, 0.95)) >= STILL_LEVELS
    if not (moves and changes):
        raise StillVideo(f"Nothing moves in {name}.")


def _stated_duration_s(path: str | Path) -> float:
    """Returns the duration of the header, for the progress bar only; 0 if it has none."""
    with open_media(path) as container:
        return (container.duration or 0) / 1e6


def _timed(frames: Iterator[NativeFrame], spent: dict[str, float]) -> Iterator[NativeFrame]:
    """Yields the same frames, and adds the seconds they took to spent["decode"]."""
    while True:
        began = time.perf_counter()
        frame = next(frames, None)
        spent["decode"] += time.perf_counter() - began
        if frame is None:
            return
        yield frame
