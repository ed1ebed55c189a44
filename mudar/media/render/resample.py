"""Resamples source frames to output times: a source frame where one is near enough, else one interpolated between two.

Knows neither files nor encoders.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.cuts import CutDetector
from mudar.media.interpolation.interpolator import Interpolator
from mudar.media.render.format import SourceFrame

Floats = NDArray[np.float64]
MOST_SHARES = 8  # frames between one pair that are made at a time
UNIT_SPEED = 1e-6  # how far a speed may be from 1 to count as 1
SNAP = 0.08  # of a frame interval: nearer than this to a real frame, the real frame is shown


@dataclass(frozen=True)
class FrameRequest:
    """Requests output frames at shares of the way between two neighbouring source frames (no second: the end).

    is_cut: another shot begins with the second one.
    """

    before: SourceFrame
    after: SourceFrame | None
    shares: list[float]
    is_cut: bool = False


@dataclass(frozen=True)
class OutputFrame:
    """Holds a frame for the output, the source second it shows, and whether it was interpolated."""

    frame: av.VideoFrame
    time_s: float
    interpolated: bool


def snap_to_frames(times_s: Floats, fps: float, start_s: float = 0.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Moves stretches of speed 1 by less than a frame, so that they show the source's frames as they are.

    times_s: (N,) ascending source seconds of output frames, `fps` a second; start_s: of the source's first frame.
    Returns the times and which of them (N,) lie in such a stretch. Elsewhere nothing moves by more than it must to keep
    the order.
    """
    unmixed = np.zeros(len(times_s), bool)
    steady = np.abs(np.diff(times_s) * fps - 1) < UNIT_SPEED
    unmixed[1:] |= steady
    unmixed[:-1] |= steady
    position = (times_s - start_s) * fps
    index = np.arange(len(times_s))
    run = np.cumsum(np.append(True, ~steady)) - 1  # which stretch each time belongs to
    first = np.unique(run, return_index=True)[1][run]
    snapped = np.round(position[first]) + index - first
    return np.maximum.accumulate(np.where(unmixed, start_s + snapped / fps, times_s)), unmixed


def sample(
    frames: Iterator[SourceFrame],
    times_s: Floats,
    detector: CutDetector | None = None,
    unmixed: NDArray[np.bool_] | None = None,
) -> Iterator[FrameRequest]:
    """Finds the pair of frames that each of `times_s` (N,), ascending source seconds, lies between.

    The shares of one pair come in one request, up to MOST_SHARES; where `unmixed` (N,), they are 0 or 1. Without a
    detector no cuts are found.
    """

    def crosses_cut() -> bool:
        return bool(detector and before and after and detector(before.frame, after.frame))

    before = next(frames, None)
    after = next(frames, None)
    is_cut = crosses_cut()
    shares: list[float] = []
    for n, time_s in enumerate(times_s):
        if before is None:
            return
        if shares and after is not None and after.time_s <= time_s:
            yield FrameRequest(before, after, shares, is_cut)
            shares = []
        while after is not None and after.time_s <= time_s:
            before, after = after, next(frames, None)
            is_cut = crosses_cut()
        inside = after is not None and time_s > before.time_s
        share = (
            float((time_s - before.time_s) / (after.time_s - before.time_s)) if after is not None and inside else 0.0
        )
        shares.append(float(round(share)) if unmixed is not None and unmixed[n] else share)
        if len(shares) == MOST_SHARES:
            yield FrameRequest(before, after, shares, is_cut)
            shares = []
    if before is not None and shares:
        yield FrameRequest(before, after, shares, is_cut)


def make_frames(request: FrameRequest, interpolator: Interpolator | None) -> list[OutputFrame]:
    """Chooses or interpolates the frames to show for one pair."""
    before, after = request.before, request.after
    if after is None:
        return [OutputFrame(before.frame, before.time_s, False)] * len(request.shares)
    between = [share for share in request.shares if SNAP < share < 1 - SNAP]
    if interpolator is not None and between and not request.is_cut:
        interpolated = iter(interpolator(before.frame, after.frame, between))
    else:
        interpolated = iter([None] * len(between))
    output = []
    for share in request.shares:
        frame = next(interpolated) if SNAP < share < 1 - SNAP else None
        if frame is not None:
            output.append(OutputFrame(frame, before.time_s + share * (after.time_s - before.time_s), True))
        else:
            nearest = before if share < 0.5 else after
            output.append(OutputFrame(nearest.frame, nearest.time_s, False))
    return output


def resample(requests: Iterator[FrameRequest], interpolator: Interpolator | None) -> Iterator[OutputFrame]:
    """Makes all output frames in order; an interpolator with several workers makes as many pairs at a time."""
    workers = interpolator.workers if interpolator is not None else 1
    if workers == 1:
        for request in requests:
            yield from make_frames(request, interpolator)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[OutputFrame]]] = deque()
        for request in requests:
            pending.append(pool.submit(make_frames, request, interpolator))
            if len(pending) > workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
