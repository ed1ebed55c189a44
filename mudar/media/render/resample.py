"""Which source frames an output frame lies between, and what is shown for it. Knows neither files nor encoders."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.blend import Between, Blend
from mudar.media.interpolation.cuts import Cuts
from mudar.media.interpolation.flow import FlowBetween, PairFlow
from mudar.media.render.source import Timed

Floats = NDArray[np.float64]
MOST_SHARES = 8  # frames between one pair that are made at a time
SNAP = 0.08  # of a frame interval: nearer than this to a real frame, the real frame is shown


@dataclass(frozen=True)
class FrameRequest:
    """A pair of neighbouring source frames (no second: the end) and the shares of the way between them to show.

    cut: another shot begins with the second one.
    """

    before: Timed
    after: Timed | None
    shares: list[float]
    cut: bool = False


@dataclass(frozen=True)
class OutputFrame:
    """A frame for the output, the source second it shows, and whether it was made."""

    frame: av.VideoFrame
    time_s: float
    interpolated: bool


def sample(frames: Iterator[Timed], wanted_s: Floats, cuts: Cuts | None = None) -> Iterator[FrameRequest]:
    """Which pair each of `wanted_s` (N,), ascending source seconds, lies between; a pair's shares come together.

    Without `cuts` nobody looks for them.
    """

    def cut() -> bool:
        return cuts is not None and before is not None and after is not None and cuts(before[1], after[1])

    before = next(frames, None)
    after = next(frames, None)
    is_cut = cut()
    shares: list[float] = []
    for at in wanted_s:
        if before is None:
            return
        if shares and after is not None and after[0] <= at:
            yield FrameRequest(before, after, shares, is_cut)
            shares = []
        while after is not None and after[0] <= at:
            before, after = after, next(frames, None)
            is_cut = cut()
        inside = after is not None and at > before[0]
        shares.append(float((at - before[0]) / (after[0] - before[0])) if after is not None and inside else 0.0)
        if len(shares) == MOST_SHARES:
            yield FrameRequest(before, after, shares, is_cut)
            shares = []
    if before is not None and shares:
        yield FrameRequest(before, after, shares, is_cut)


def make_frame(ask: FrameRequest, make: Between | None) -> list[OutputFrame]:
    """The frames to show for one pair."""
    before, after = ask.before, ask.after
    if after is None:
        return [OutputFrame(before[1], before[0], False)] * len(ask.shares)
    apart = [s for s in ask.shares if SNAP < s < 1 - SNAP]
    able = bool(apart) and not ask.cut
    made = iter(make(before[1], after[1], apart) if make is not None and able else [None] * len(apart))
    shown = []
    for share in ask.shares:
        between = next(made) if SNAP < share < 1 - SNAP else None
        if between is not None:
            shown.append(OutputFrame(between, before[0] + share * (after[0] - before[0]), True))
        else:
            nearest = before if share < 0.5 else after
            shown.append(OutputFrame(nearest[1], nearest[0], False))
    return shown


def resample(asks: Iterator[FrameRequest], make: Between | None) -> Iterator[OutputFrame]:
    """All of them in order; a maker with several workers makes several pairs at a time, no more."""
    workers = make.workers if make is not None else 1
    if workers == 1:
        for ask in asks:
            yield from make_frame(ask, make)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[OutputFrame]]] = deque()
        for ask in asks:
            pending.append(pool.submit(make_frame, ask, make))
            if len(pending) > workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def make_interpolator(interpolation: str, flow: PairFlow | None = None) -> Between | None:
    """Who makes the frames between frames; None for `nearest`. flow: the estimator of `flow`, DIS if none is given."""
    if interpolation == "nearest":
        return None
    return FlowBetween(flow) if interpolation == "flow" else Blend()
