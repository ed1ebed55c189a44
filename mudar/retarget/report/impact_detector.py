"""Detects visible impacts, sudden decelerations of the optical flow, independently of everything learned.

Our own detector chose what to land, so it cannot be the only judge of whether it landed. This one knows neither the
model nor the map: it looks at a picture's frames, the source's or those of the finished file, and finds visible
impacts after Davis and Agrawala (Visual Rhythm and Beat, 2018): the flow by direction (a directogram), how much of
it vanishes from one moment to the next, and the peaks of that.

F = frames; B directions; T moments of an even clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from mudar.features.hoof import camera, hoof
from mudar.media.decode.video import iter_frames
from mudar.progress import Progress, ignore
from mudar.retarget.events import Floats
from mudar.rhythm.motion_speed import deceleration, even_speed

cv: Any = cv2  # its stubs know no DIS

SIDE_PX = 96  # of the square picture that the flow is computed on
DIRECTIONS = 12
CLOCK_HZ = 120.0
SMOOTH_S = 0.04  # below lies the noise of the flow
USUAL_S = 1.0  # a peak is judged against this much on both sides
STANDS_OUT = 0.25  # of the local height of the envelope
MIN_GAP_S = 0.2


@dataclass(frozen=True)
class Impacts:
    """Holds the (N,) seconds of the visible impacts, ascending, and their (N,) strengths in 0..1."""

    times_s: Floats
    strengths: Floats


class ImpactDetector:
    """Takes the frames of a video one after another and detects its impacts. Not for several threads."""

    def __init__(self) -> None:
        self._dis = cv.DISOpticalFlow_create(cv.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._before: NDArray[np.uint8] | None = None
        self._times_s: list[float] = []
        self._rows: list[NDArray[np.float32]] = []

    def add(self, time_s: float, gray: NDArray[np.uint8]) -> None:
        """Takes the next frame, (h, w) gray of any size, shown from `time_s` on."""
        skip = max(1, min(gray.shape) // (2 * SIDE_PX))  # averaging over all pixels would cost more than the flow
        thinned = np.ascontiguousarray(gray[skip // 2 :: skip, skip // 2 :: skip])
        small = cv.resize(thinned, (SIDE_PX, SIDE_PX), interpolation=cv.INTER_AREA)
        if self._before is not None:
            flow = self._dis.calc(self._before, small, None)
            u, v = cv.split(flow)
            moved = hoof(flow - (camera(u), camera(v)), DIRECTIONS) / SIDE_PX**3  # the mean over the picture, in sides
            self._rows.append(np.asarray(moved, np.float32))
        self._times_s.append(time_s)
        self._before = small

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns (F,) times and (F-1, B) displacements so far, as arrays by name."""
        return {"times_s": np.array(self._times_s), "rows": self._displacement()}

    def restore(self, times_s: Floats, rows: NDArray[np.float32]) -> None:
        """Restores what `arrays` returned."""
        self._times_s, self._rows = times_s.tolist(), list(rows)

    def impacts(self) -> Impacts:
        """Returns the impacts of the frames so far, by the file's own times."""
        return _peaks(*impact_envelope(np.array(self._times_s), self._displacement()))

    def jerk(self) -> float | None:
        """Returns the mean second derivative of the picture's speed, over that speed, in 1/s²; None when still."""
        total = _speed(np.array(self._times_s), self._displacement())[1].sum(axis=1)
        mean = float(total.mean()) if len(total) > 2 else 0.0
        return float(np.abs(np.diff(total, 2)).mean()) * CLOCK_HZ**2 / mean if mean > 0 else None

    def _displacement(self) -> NDArray[np.float32]:
        """Returns (F-1, B), how far the picture moved in each direction since the frame before."""
        return np.stack(self._rows) if self._rows else np.zeros((0, DIRECTIONS), np.float32)


class RenderObserver:
    """Observes what a rendering reads and what it writes, at no decoding of its own (media.render.Observer)."""

    def __init__(self) -> None:
        self.before, self.after = ImpactDetector(), ImpactDetector()

    def source(self, time_s: float, luma: NDArray[np.uint8]) -> None:
        """Takes a frame of the source."""
        self.before.add(time_s, luma)

    def output(self, time_s: float, luma: NDArray[np.uint8]) -> None:
        """Takes a frame of the output."""
        self.after.add(time_s, luma)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns what was observed, as arrays by name, to be carried to another process."""
        both = {"before": self.before, "after": self.after}
        return {f"{name}_{what}": array for name, eye in both.items() for what, array in eye.arrays().items()}

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> RenderObserver:
        """Makes an observer of these arrays; it takes no more frames."""
        observer = cls()
        for name, eye in (("before", observer.before), ("after", observer.after)):
            eye.restore(arrays[f"{name}_times_s"], arrays[f"{name}_rows"])
        return observer


def detect_impacts_of_frames(path: str | Path, progress: Progress = ignore) -> ImpactDetector:
    """Runs the detector over all frames of a video file. Raises as decode.iter_frames does."""
    detector = ImpactDetector()
    for frame in iter_frames(path, fps=None, size=(SIDE_PX, SIDE_PX), pixel="gray"):
        detector.add(frame.time_s, frame.image)
        progress(0.0, "watch")
    return detector


def detect_impacts(path: str | Path, progress: Progress = ignore) -> Impacts:
    """Detects the impacts of a video file. Raises as decode.iter_frames does."""
    return detect_impacts_of_frames(path, progress).impacts()


def impact_envelope(times_s: Floats, moved: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Returns (T,) seconds of an even clock and the (T,) motion that vanishes there, summed over directions.

    times_s: (F,) when the frames are shown; moved: (F-1, B) displacement by direction since the frame before.
    """
    clock_s, speed = _speed(times_s, moved)
    return clock_s, deceleration(speed).sum(axis=1)


def _speed(times_s: Floats, moved: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Returns the even clock (T,) and the smoothed (T, B) speed on it; empty for a very short clip."""
    return even_speed(times_s, np.insert(moved, 0, 0.0, axis=0), CLOCK_HZ, SMOOTH_S)


def _peaks(clock: Floats, envelope: Floats) -> Impacts:
    """Picks the peaks that stand out from what is usual around them."""
    if len(clock) < 8 or envelope.max() <= 0:
        return Impacts(np.zeros(0), np.zeros(0))
    width = USUAL_S * CLOCK_HZ
    level = gaussian_filter1d(envelope, width, mode="nearest")
    ratio = envelope / np.maximum(level, 0.05 * level.max())
    frames, _ = find_peaks(ratio, distance=MIN_GAP_S * CLOCK_HZ, prominence=STANDS_OUT, height=1.0)
    strengths = envelope[frames] / max(float(envelope[frames].max(initial=0.0)), 1e-12)
    return Impacts(clock[frames], strengths)
