"""Renders a dance, a time map and a song to a video; decoding, interpolation and encoding overlap in threads.

Output frame n, at n / rate, shows source time `source_s(n / rate)`: a decoded frame itself where one is near enough,
else one interpolated between its neighbours. Few frames are in memory at a time. Knows no rhythm; the map is any
ascending function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mudar.atomic_write import atomic_path
from mudar.errors import MediaTooShort, UnreadableMedia
from mudar.media.decode.prefetch import Prefetcher
from mudar.media.interpolation.cuts import CutDetector
from mudar.media.interpolation.flow import PairFlow
from mudar.media.interpolation.interpolator import Interpolator, make_interpolator
from mudar.media.interpolation.yuv import Plane, planes
from mudar.media.render.audio import inspect_audio, limit_peaks, song_blocks
from mudar.media.render.encode import Mp4Writer, VideoEncoder, choose_encoder
from mudar.media.render.format import Block, SourceFrame
from mudar.media.render.resample import OutputFrame, resample, sample, snap_to_frames
from mudar.media.render.source import frames, inspect_video
from mudar.media.render.varispeed import has_sound, varispeed
from mudar.progress import Progress, ignore

Floats = NDArray[np.float64]
TimeMap = Callable[[Floats], Floats]
T = TypeVar("T")
DEPTH = 4  # frames each stage may run ahead


@dataclass(frozen=True)
class RenderSettings:
    """Says how to render.

    interpolation: nearest, blend or flow; crf: quality, 0 best to 51; preset: x264's; encoder: auto, libx264 or
    h264_nvenc; fade_s: of the song at its end; original_gain_db: of the dance's own sound under the song, None to leave
    it out.
    """

    interpolation: str = "flow"
    crf: int = 20
    preset: str = "veryfast"
    fade_s: float = 0.25
    original_gain_db: float | None = None
    encoder: str = "auto"


class FrameObserver(Protocol):
    """Receives every frame of a rendering as (height, width) luma; each method is called from one thread, in order."""

    def source(self, time_s: float, luma: Plane) -> None:
        """Receives a frame of the source, at its own time."""

    def output(self, time_s: float, luma: Plane) -> None:
        """Receives a frame of the output, at its time there."""


@dataclass(frozen=True)
class RenderResult:
    """Describes what was written.

    shown_s: (N,) source seconds each output frame shows; interpolated: (N,) bool; duplicate: (N,) bool, shows exactly
    what the frame before it shows. notes: what the output could not keep of the source. stage_s: seconds of work, which
    overlap.
    """

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
        """Returns the seconds of output: frames / rate, exactly."""
        return len(self.shown_s) / self.fps


@dataclass
class _RenderJob:
    """Holds what the stages of one rendering share.

    times_s: (N,) source seconds that the output frames should show; unmixed: (N,) which of them show a frame as it is.
    """

    times_s: Floats
    unmixed: NDArray[np.bool_]
    samples: int
    interpolator: Interpolator | None
    observer: FrameObserver | None
    progress: Progress
    clock: _StageClock


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
        self.flow = flow
        self.music_path = Path(music_path).absolute()
        self.settings = settings or RenderSettings()
        self.video = inspect_video(dance_path)
        self.audio = inspect_audio(music_path)
        self.dance_duration_s = self.video.duration_s
        self.music_duration_s = self.audio.duration_s

    @property
    def fps(self) -> float:
        """Returns the frames a second of the output."""
        return float(self.video.rate)

    def render(
        self,
        out_path: str | Path,
        source_s: TimeMap,
        *,
        offset_s: float,
        duration_s: float,
        observer: FrameObserver | None = None,
        progress: Progress = ignore,
    ) -> RenderResult:
        """Writes `out_path`: floor(duration_s x rate) frames, the song from `offset_s` on, cut to the same length.

        Raises MediaTooShort for less than one frame, UnreadableMedia when the picture ends far too early; whatever
        `progress` raises passes through. No file is left behind then.
        """
        count = int(duration_s * self.video.rate + 1e-6)
        if count < 1:
            raise MediaTooShort("The stretch to render is shorter than one frame.")
        settings = self.settings
        encoder = VideoEncoder(choose_encoder(settings.encoder), settings.crf, settings.preset)
        times_s = np.maximum(source_s(np.arange(count) / self.fps), self.video.start_s)
        job = _RenderJob(
            *snap_to_frames(times_s, self.fps, self.video.start_s),
            round(count / self.video.rate * self.audio.sample_rate_hz),
            make_interpolator(settings.interpolation, self.flow),
            observer,
            progress,
            _StageClock(),
        )
        with (
            atomic_path(out_path) as unfinished,
            Prefetcher(lambda: self._decode(job), DEPTH) as decoded,
            Prefetcher(lambda: _interpolate(iter(decoded), job), DEPTH) as output,
            closing(self._mix_sound(offset_s, job.samples, source_s)) as sound,
            Mp4Writer(unfinished, self.video, self.audio, encoder) as writer,
        ):
            shown = self._encode(iter(output), sound, writer, job)
        return self._result(shown, encoder.name, job)

    def _decode(self, job: _RenderJob) -> Iterator[SourceFrame]:
        """Decodes the source from where the rendering begins and passes each frame to the observer."""
        for item in job.clock.timed("decode", frames(self.dance_path, self.video, float(job.times_s[0]))):
            if job.observer is not None:
                job.observer.source(item.time_s, planes(item.frame)[0])
            yield item

    def _encode(
        self, output: Iterator[OutputFrame], sound: Iterator[Block], writer: Mp4Writer, job: _RenderJob
    ) -> list[tuple[float, bool]]:
        """Writes all frames, each with the sound up to its end; returns (source second, is interpolated) of each."""
        shown: list[tuple[float, bool]] = []
        count, written = len(job.times_s), 0
        for n, item in enumerate(output):
            with job.clock.measure("encode"):
                writer.write_frame(item.frame)
                if job.observer is not None:
                    job.observer.output(n / self.fps, planes(item.frame)[0])
                shown.append((item.time_s, item.interpolated))
                while written < (n + 1) / count * job.samples and (block := next(sound, None)) is not None:
                    writer.write_samples(block)
                    written += block.shape[1]
            job.progress((n + 1) / count, "render")
        if len(shown) < count:
            raise UnreadableMedia("The picture could not be read to its end.")
        return shown

    def _result(self, shown: list[tuple[float, bool]], encoder: str, job: _RenderJob) -> RenderResult:
        times_s, interpolated = (np.array(column) for column in zip(*shown, strict=True))
        return RenderResult(
            width=self.video.width,
            height=self.video.height,
            fps=self.fps,
            shown_s=times_s,
            interpolated=interpolated,
            duplicate=np.append(False, np.diff(times_s) == 0),
            encoder=encoder,
            notes=self.video.notes + (job.interpolator.notes if job.interpolator is not None else ()),
            stage_s=job.clock.seconds,
        )

    def _mix_sound(self, offset_s: float, samples: int, source_s: TimeMap) -> Generator[Block, None, None]:
        """Decodes the song, under it the dance's own sound where that is wanted and there is some, and limits peaks."""
        song = song_blocks(self.music_path, self.audio, offset_s, samples, self.settings.fade_s)
        gain_db = self.settings.original_gain_db
        if gain_db is None or not has_sound(self.dance_path):
            yield from limit_peaks(song)
            return
        own = varispeed(self.dance_path, self.audio, source_s, samples, gain_db)
        yield from limit_peaks(block + under for block, under in zip(song, own, strict=True))


def _interpolate(decoded: Iterator[SourceFrame], job: _RenderJob) -> Iterator[OutputFrame]:
    """Makes the output's frames from the source's, without counting the wait for those as work."""
    waiting = job.clock.timed("warp_waits", decoded)
    requests = sample(waiting, job.times_s, CutDetector() if job.interpolator else None, job.unmixed)
    return job.clock.timed("warp", resample(requests, job.interpolator), without="warp_waits")


class _StageClock:
    """Measures seconds of work by stage, one thread each; they overlap, and add up to more than the wall clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 6)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Counts the time that the block takes for `stage`."""
        started = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - started)

    def timed(self, stage: str, items: Iterator[T], *, without: str = "") -> Iterator[T]:
        """Yields the items; counts the time each takes to make for `stage`, less what counted for `without`."""
        while True:
            started, waited = time.perf_counter(), self.seconds.get(without, 0.0)
            item = next(items, None)
            self.add(stage, time.perf_counter() - started - (self.seconds.get(without, 0.0) - waited))
            if item is None:
                return
            yield item
