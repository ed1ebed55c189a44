"""Frames and sound to one mp4: H.264 High yuv420p, AAC, index in front."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from mudar.media.render import encoder
from mudar.media.render.audio import CHANNELS, Block, Layout
from mudar.media.render.source import VideoFormat

AUDIO_BIT_RATE = 192_000
FEW_CORES, MAX_THREADS = 4, 6  # x264 would start 1.5 threads a core, and each holds frames
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
NO_PICTURE_TYPE = 0  # let the encoder choose I, P or B: a decoded frame still says what it was


class Mp4Writer:
    """Writes frames and sound to `path`; the file is complete when the block is left well."""

    def __init__(
        self,
        path: str | Path,
        look: VideoFormat,
        sample_rate_hz: int,
        *,
        crf: int,
        preset: str,
        name: str = encoder.X264,
        layout: Layout = "stereo",
    ) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._tick = 1 / look.rate
        self._video = _video_stream(self._container, look, name, crf, preset)
        self._audio = _audio_stream(self._container, sample_rate_hz, layout)
        self._frames = 0
        self._samples = 0
        self._rate_hz, self._layout = sample_rate_hz, layout

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def picture(self, frame: av.VideoFrame) -> None:
        """The next frame; the same object may be given twice."""
        frame.pict_type = NO_PICTURE_TYPE
        frame.pts, frame.time_base = self._frames, self._tick
        self._frames += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, block: Block) -> None:
        """The next (C, <= 1024) samples; only the last block may be shorter than 1024."""
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate_hz, self._samples, Fraction(1, self._rate_hz)
        self._samples += block.shape[1]
        self._container.mux(self._audio.encode(frame))


def _video_stream(
    container: av.container.OutputContainer, look: VideoFormat, name: str, crf: int, preset: str
) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(name, rate=look.rate, options=encoder.options(name, crf, preset)))
    stream.width, stream.height, stream.pix_fmt = look.width, look.height, "yuv420p"
    stream.time_base = 1 / look.rate
    context = stream.codec_context
    if name == encoder.X264 and (os.cpu_count() or 1) > FEW_CORES:
        context.thread_count = MAX_THREADS
    context.time_base = 1 / look.rate
    context.sample_aspect_ratio = look.pixel_aspect
    context.color_primaries, context.color_trc = look.primaries, look.transfer
    context.colorspace, context.color_range = look.matrix, LIMITED_RANGE
    return stream


def _audio_stream(container: av.container.OutputContainer, sample_rate_hz: int, layout: Layout) -> AudioStream:
    stream = container.add_stream("aac", rate=sample_rate_hz, layout=layout)
    stream.bit_rate = AUDIO_BIT_RATE * CHANNELS[layout] // 2
    stream.time_base = Fraction(1, sample_rate_hz)
    return stream
