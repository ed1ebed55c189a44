"""A dance, a time map and a song to a video: decode, warp and encode overlap in threads, frames are never all held.

Output frame n, at n / rate, shows source time `source_s(n / rate)`: a decoded frame itself where one is near enough,
else one made between its neighbours. Knows no rhythm; the map is any ascending function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from mudar.media.interpolate import Between, between
from mudar.media.measure import sound_length_s
from mudar.media.pipe import Ahead
from mudar.progress import Progress, ignore

Floats = NDArray[np.float64]
T = TypeVar("T")
DEPTH = 4  # frames each stage may run ahead
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
class _Shown:
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

        def decoded() -> Iterator[picture.Timed]:
            return clock.timed("decode", picture.frames(self._dance, self.look, float(wanted[0])))

        def warped() -> Iterator[_Shown]:
            waiting = clock.timed("warp_waits", iter(raw))
            return clock.timed("warp", sample(waiting, wanted, between(options.interpolation)), without="warp_waits")

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


def sample(frames: Iterator[picture.Timed], wanted_s: Floats, make: Between | None) -> Iterator[_Shown]:
    """What to show at each of `wanted_s` (N,), ascending source seconds; after the last frame, the last frame."""
    before = next(frames, None)
    after = next(frames, None)
    for at in wanted_s:
        while before is not None and after is not None and after[0] <= at:
            before, after = after, next(frames, None)
        if before is None:
            return
        yield _pick(before, after, float(at), make)


def _pick(before: picture.Timed, after: picture.Timed | None, at: float, make: Between | None) -> _Shown:
    if after is None or at <= before[0]:
        return _Shown(before[1], before[0], False)
    share = (at - before[0]) / (after[0] - before[0])
    if make is not None and SNAP < share < 1 - SNAP:
        made = make(before[1], after[1], share)
        if made is not None:
            return _Shown(made, at, True)
    nearest = before if share < 0.5 else after
    return _Shown(nearest[1], nearest[0], False)


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
