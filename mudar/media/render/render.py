"""A dance, a time map and a song to a video: decode, warp and encode overlap in threads, frames are never all held.

Output frame n, at n / rate, shows source time `source_s(n / rate)`: a decoded frame itself where one is near enough,
else one made between its neighbours. Knows no rhythm; the map is any ascending function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mudar.atomic_write import atomic_path
from mudar.errors import MediaTooShort, UnreadableMedia
from mudar.media.interpolation.cuts import Cuts
from mudar.media.interpolation.flow import PairFlow
from mudar.media.render import audio, encoder, source
from mudar.media.render.encode import Mp4Writer
from mudar.media.render.limiter import limit_peaks
from mudar.media.render.prefetch import Prefetcher
from mudar.media.render.readback import sound_length_s
from mudar.media.render.resample import OutputFrame, make_interpolator, resample, sample
from mudar.media.render.varispeed import has_sound, varispeed
from mudar.media.render.yuv import Plane, planes
from mudar.progress import Progress, ignore

Floats = NDArray[np.float64]
T = TypeVar("T")
DEPTH = 4  # frames each stage may run ahead


@dataclass(frozen=True)
class RenderSettings:
    """How to render. interpolation: nearest, blend or flow; crf: quality, 0 best to 51; preset: x264's; encoder: auto,
    libx264 or h264_nvenc. original_gain_db: the dance's own
    sound under the song, None for none."""

    interpolation: str = "blend"
    crf: int = 20
    preset: str = "veryfast"
    fade_s: float = 0.25
    original_gain_db: float | None = None
    encoder: str = "auto"


class FrameObserver(Protocol):
    """Shown every frame on its way, as (height, width) luma; each method is called from one thread, in order."""

    def source(self, time_s: float, luma: Plane) -> None:
        """A frame of the source, at its own time."""

    def output(self, time_s: float, luma: Plane) -> None:
        """A frame of the output, at its time there."""


@dataclass(frozen=True)
class RenderResult:
    """What was written. shown_s: (N,) source seconds each output frame really shows; interpolated: (N,) bool;
    duplicate: (N,) bool, shows exactly what the frame before it shows. notes: what the output could not keep of the
    source. stage_s: seconds of work, which overlap."""

    width: int
    height: int
    fps: float
    shown_s: Floats
    interpolated: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    encoder: str
    notes: tuple[str, ...]
    stage_s: dict[str, float] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds of output: frames / rate, exactly."""
        return len(self.shown_s) / self.fps


class Renderer:
    """Renders one dance onto one song; `render` may be called again with another map."""

    def __init__(
        self,
        dance_path: str | Path,
        music_path: str | Path,
        settings: RenderSettings | None = None,
        flow: PairFlow | None = None,
    ) -> None:
        self.dance_path = Path(dance_path).absolute()
        self._flow = flow
        self.music_path = Path(music_path).absolute()
        self.settings = settings or RenderSettings()
        self.look = source.inspect_video(dance_path)
        self.dance_duration_s = self.look.duration_s
        self.music_duration_s = sound_length_s(music_path)
        self.sample_rate_hz = audio.output_sample_rate(music_path)
        self.layout = audio.output_layout(music_path)

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
        witness: FrameObserver | None = None,
        progress: Progress = ignore,
    ) -> RenderResult:
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
        options = self.settings
        make, name = make_interpolator(options.interpolation, self._flow), encoder.choose_encoder(options.encoder)

        def decoded() -> Iterator[source.Timed]:
            return _seen(clock.timed("decode", source.frames(self.dance_path, self.look, float(wanted[0]))), witness)

        def warped() -> Iterator[OutputFrame]:
            waiting = clock.timed("warp_waits", iter(raw))
            return clock.timed(
                "warp", resample(sample(waiting, wanted, Cuts() if make else None), make), without="warp_waits"
            )

        with (
            atomic_path(out_path) as unfinished,
            Prefetcher(decoded, DEPTH) as raw,
            Prefetcher(warped, DEPTH) as ready,
            closing(self._sound(offset_s, samples, source_s)) as sound,
            Mp4Writer(
                unfinished,
                self.look,
                self.sample_rate_hz,
                crf=options.crf,
                preset=options.preset,
                name=name,
                layout=self.layout,
            ) as writer,
        ):
            heard = 0
            for n, item in enumerate(ready):
                started = time.perf_counter()
                writer.picture(item.frame)
                if witness is not None:
                    witness.output(n / self.fps, planes(item.frame)[0])
                shown.append((item.time_s, item.interpolated))
                while heard < (n + 1) / count * samples and (block := next(sound, None)) is not None:
                    writer.sound(block)
                    heard += block.shape[1]
                clock.add("encode", time.perf_counter() - started)
                progress((n + 1) / count, "render")
            if len(shown) < count:
                raise UnreadableMedia("The picture could not be read to its end.")
        times, between = (np.array(column) for column in zip(*shown, strict=True))
        same = np.append(False, np.diff(times) == 0)
        notes = self.look.notes + (make.notes if make is not None else ())
        return RenderResult(
            self.look.width, self.look.height, self.fps, times, between, same, name, notes, clock.seconds
        )

    def _sound(
        self, offset_s: float, samples: int, source_s: Callable[[Floats], Floats]
    ) -> Generator[audio.Block, None, None]:
        """The song, under it the dance's own sound where that is wanted and there is some; peaks kept from clipping."""
        form = self.sample_rate_hz, self.layout
        song = audio.blocks(self.music_path, *form, offset_s, samples, self.settings.fade_s)
        gain_db = self.settings.original_gain_db
        if gain_db is None or not has_sound(self.dance_path):
            yield from limit_peaks(song)
            return
        own = varispeed(self.dance_path, *form, source_s, samples, gain_db)
        yield from limit_peaks(block + under for block, under in zip(song, own, strict=True))


def _seen(frames: Iterator[source.Timed], witness: FrameObserver | None) -> Iterator[source.Timed]:
    """The same frames, shown to the witness on their way."""
    for time_s, frame in frames:
        if witness is not None:
            witness.source(time_s, planes(frame)[0])
        yield time_s, frame


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
