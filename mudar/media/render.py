"""A dance, a time map and a song to a video: decode, warp and encode overlap in threads, frames are never all held.

Output frame n, at n / rate, shows source time `source_s(n / rate)`: a decoded frame itself where one is near enough,
else one made between its neighbours. Knows no rhythm; the map is any ascending function.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from mudar.errors import MediaTooShort, UnreadableMedia
from mudar.media import audio_out, picture
from mudar.media.encode import Mp4Writer
from mudar.media.interpolate import Between, Blend
from mudar.media.interpolate_flow import FlowBetween
from mudar.media.measure import sound_length_s
from mudar.media.pipe import Ahead
from mudar.progress import Progress, ignore

Floats = NDArray[np.float64]
T = TypeVar("T")
DEPTH = 4  # frames each stage may run ahead
MOST_SHARES = 8  # frames between one pair that are made at a time
SNAP = 0.08  # of a frame interval: nearer than this to a real frame, the real frame is shown


@dataclass(frozen=True)
class RenderSettings:
    """How to render. interpolation: nearest, blend or flow; crf and preset: x264's."""

    interpolation: str = "blend"
    crf: int = 20
    preset: str = "veryfast"
    fade_s: float = 0.25


@dataclass(frozen=True)
class Rendered:
    """What was written. shown_s: (N,) source seconds each output frame really shows; interpolated: (N,) bool;
    duplicate: (N,) bool, shows exactly what the frame before it shows. stage_s: seconds of work, which overlap."""

    width: int
    height: int
    fps: float
    shown_s: Floats
    interpolated: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    is_hdr: bool
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds of output: frames / rate, exactly."""
        return len(self.shown_s) / self.fps


@dataclass(frozen=True)
class Ask:
    """A pair of neighbouring source frames (no second: the end) and the shares of the way between them to show."""

    before: picture.Timed
    after: picture.Timed | None
    shares: list[float]


@dataclass(frozen=True)
class Shown:
    """A frame for the output, the source second it shows, and whether it was made."""

    frame: av.VideoFrame
    time_s: float
    interpolated: bool


class Renderer:
    """Renders one dance onto one song; `render` may be called again with another map."""

    def __init__(self, dance_path: str | Path, music_path: str | Path, settings: RenderSettings | None = None) -> None:
        self._dance = dance_path
        self._music = music_path
        self._settings = settings or RenderSettings()
        self.look = picture.look(dance_path)
        self.dance_duration_s = self.look.duration_s
        self.music_duration_s = sound_length_s(music_path)
        self.sample_rate_hz = audio_out.output_sample_rate(music_path)

    @property
    def fps(self) -> float:
        """Frames a second of the output."""
        return float(self.look.rate)

    def render(
        self,
        out_path: str | Path,
        source_s: Callable[[Floats], Floats],
        *,
        offset_s: float,
        duration_s: float,
        progress: Progress = ignore,
    ) -> Rendered:
        """Write `out_path`: floor(duration_s x rate) frames, the song from `offset_s` on, cut to the same length.

        Raises MediaTooShort for less than one frame, UnreadableMedia when the picture ends far too early; whatever
        `progress` raises passes through. No file is left behind then.
        """
        count = int(duration_s * self.look.rate + 1e-6)
        if count < 1:
            raise MediaTooShort("The stretch to render is shorter than one frame.")
        wanted = np.maximum(source_s(np.arange(count) / self.fps), self.look.start_s)
        samples = round(count / self.look.rate * self.sample_rate_hz)
        clock = _Clock()
        shown: list[tuple[float, bool]] = []
        options = self._settings
        make = maker(options.interpolation)

        def decoded() -> Iterator[picture.Timed]:
            return clock.timed("decode", picture.frames(self._dance, self.look, float(wanted[0])))

        def warped() -> Iterator[Shown]:
            waiting = clock.timed("warp_waits", iter(raw))
            return clock.timed("warp", answers(sample(waiting, wanted), make), without="warp_waits")

        with (
            Ahead(decoded, DEPTH) as raw,
            Ahead(warped, DEPTH) as ready,
            closing(audio_out.blocks(self._music, self.sample_rate_hz, offset_s, samples, options.fade_s)) as sound,
            Mp4Writer(out_path, self.look, self.sample_rate_hz, crf=options.crf, preset=options.preset) as writer,
        ):
            heard = 0
            for n, item in enumerate(ready):
                started = time.perf_counter()
                writer.picture(item.frame)
                shown.append((item.time_s, item.interpolated))
                while heard < (n + 1) / count * samples and (block := next(sound, None)) is not None:
                    writer.sound(block)
                    heard += block.shape[1]
                clock.add("encode", time.perf_counter() - started)
                progress((n + 1) / count, "render")
            if len(shown) < count:
                raise UnreadableMedia("The picture could not be read to its end.")
        times, made = (np.array(column) for column in zip(*shown, strict=True))
        same = np.append(False, np.diff(times) == 0)
        return Rendered(self.look.width, self.look.height, self.fps, times, made, same, self.look.is_hdr, clock.seconds)


def sample(frames: Iterator[picture.Timed], wanted_s: Floats) -> Iterator[Ask]:
    """Which pair each of `wanted_s` (N,), ascending source seconds, lies between; a pair's shares come together."""
    before = next(frames, None)
    after = next(frames, None)
    shares: list[float] = []
    for at in wanted_s:
        if before is None:
            return
        if shares and after is not None and after[0] <= at:
            yield Ask(before, after, shares)
            shares = []
        while after is not None and after[0] <= at:
            before, after = after, next(frames, None)
        inside = after is not None and at > before[0]
        shares.append(float((at - before[0]) / (after[0] - before[0])) if after is not None and inside else 0.0)
        if len(shares) == MOST_SHARES:
            yield Ask(before, after, shares)
            shares = []
    if before is not None and shares:
        yield Ask(before, after, shares)


def answer(ask: Ask, make: Between | None) -> list[Shown]:
    """The frames to show for one pair."""
    before, after = ask.before, ask.after
    if after is None:
        return [Shown(before[1], before[0], False)] * len(ask.shares)
    apart = [s for s in ask.shares if SNAP < s < 1 - SNAP]
    made = iter(make(before[1], after[1], apart) if make is not None and apart else [None] * len(apart))
    shown = []
    for share in ask.shares:
        between = next(made) if SNAP < share < 1 - SNAP else None
        if between is not None:
            shown.append(Shown(between, before[0] + share * (after[0] - before[0]), True))
        else:
            nearest = before if share < 0.5 else after
            shown.append(Shown(nearest[1], nearest[0], False))
    return shown


def answers(asks: Iterator[Ask], make: Between | None) -> Iterator[Shown]:
    """All of them in order; a maker with several workers makes several pairs at a time, no more."""
    workers = make.workers if make is not None else 1
    if workers == 1:
        for ask in asks:
            yield from answer(ask, make)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[Shown]]] = deque()
        for ask in asks:
            pending.append(pool.submit(answer, ask, make))
            if len(pending) > workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def maker(interpolation: str) -> Between | None:
    """Who makes the frames between frames; None for `nearest`."""
    return {"nearest": lambda: None, "blend": Blend, "flow": FlowBetween}[interpolation]()


class _Clock:
    """Seconds of work by stage; stages overlap, so they add up to more than the wall clock. One thread a stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 6)

    def timed(self, stage: str, items: Iterator[T], *, without: str = "") -> Iterator[T]:
        """The same items; the time each takes to make counts for `stage`, less what meanwhile counted for `without`."""
        while True:
            started, waited = time.perf_counter(), self.seconds.get(without, 0.0)
            item = next(items, None)
            self.add(stage, time.perf_counter() - started - (self.seconds.get(without, 0.0) - waited))
            if item is None:
                return
            yield item
