"""Encodes frames and sound to one mp4: H.264 High yuv420p, AAC, index in front.

The encoder of the picture is the GPU's (NVENC) where there is one that works, else libx264.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from mudar.media.decode.container import audio_stream, open_media, video_stream
from mudar.media.render.format import AudioFormat, Block, VideoFormat

NVENC, X264 = "h264_nvenc", "libx264"
NVENC_TEST_PX = 256  # NVENC takes no picture that is much smaller
AUDIO_BIT_RATE = 192_000  # of stereo
FEW_CORES, MAX_THREADS = 4, 6  # x264 would start 1.5 threads a core, and each holds frames
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
NO_PICTURE_TYPE = 0  # let the encoder choose I, P or B: a decoded frame still says what it was


@dataclass(frozen=True)
class VideoEncoder:
    """Chooses how the picture is encoded. name: FFmpeg's; crf: quality, 0 best to 51; preset: x264's."""

    name: str
    crf: int
    preset: str

    @property
    def options(self) -> dict[str, str]:
        """Gives the encoder's options for a quality that looks about the same from both."""
        quality = max(1, self.crf)  # 0 means lossless to x264, which High lacks, and automatic to NVENC
        if self.name == NVENC:
            return {"rc": "vbr", "cq": str(quality), "b": "0", "preset": "p5", "tune": "hq", "profile": "high"}
        return {"crf": str(quality), "preset": self.preset, "profile": "high"}


def choose_encoder(requested: str) -> str:
    """Chooses the encoder for `auto`, `h264_nvenc` or `libx264`; NVENC where it does not work becomes libx264."""
    return NVENC if requested in ("auto", NVENC) and nvenc_works() else X264


@lru_cache(maxsize=1)
def nvenc_works() -> bool:
    """Tells whether NVENC can be used, by encoding one small picture: a library built with it may lack the GPU."""
    try:
        encoder = av.CodecContext.create(NVENC, "w")
        encoder.width = encoder.height = NVENC_TEST_PX  # type: ignore[attr-defined]
        encoder.pix_fmt = "yuv420p"  # type: ignore[attr-defined]
        encoder.time_base = Fraction(1, 30)
        grey = np.full((NVENC_TEST_PX * 3 // 2, NVENC_TEST_PX), 128, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 30)
        packets = [*encoder.encode(frame), *encoder.encode(None)]  # type: ignore[attr-defined]
    except (av.FFmpegError, ValueError):
        return False
    return bool(packets)


class Mp4Writer:
    """Writes frames and sound to `path`; the file is complete when the block is left well."""

    def __init__(self, path: str | Path, video: VideoFormat, audio: AudioFormat, encoder: VideoEncoder) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._tick = 1 / video.rate
        self._video = _add_video_stream(self._container, video, encoder)
        self._audio = _add_audio_stream(self._container, audio)
        self._format = audio
        self._frames = 0
        self._samples = 0

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def write_frame(self, frame: av.VideoFrame) -> None:
        """Encodes the next frame; the same object may be given twice."""
        frame.pict_type = NO_PICTURE_TYPE
        frame.pts, frame.time_base = self._frames, self._tick
        self._frames += 1
        self._container.mux(self._video.encode(frame))

    def write_samples(self, block: Block) -> None:
        """Encodes the next (C, <= 1024) samples; only the last block may be shorter than 1024."""
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=self._format.layout)
        rate_hz = frame.sample_rate = self._format.sample_rate_hz
        frame.pts, frame.time_base = self._samples, Fraction(1, rate_hz)
        self._samples += block.shape[1]
        self._container.mux(self._audio.encode(frame))


def _add_video_stream(container: av.container.OutputContainer, form: VideoFormat, encoder: VideoEncoder) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(encoder.name, rate=form.rate, options=encoder.options))
    stream.width, stream.height, stream.pix_fmt = form.width, form.height, "yuv420p"
    stream.time_base = 1 / form.rate
    context = stream.codec_context
    if encoder.name == X264 and (os.cpu_count() or 1) > FEW_CORES:
        context.thread_count = MAX_THREADS
    context.time_base = 1 / form.rate
    context.sample_aspect_ratio = form.pixel_aspect
    context.color_primaries, context.color_trc = form.primaries, form.transfer
    context.colorspace, context.color_range = form.matrix, LIMITED_RANGE
    return stream


def _add_audio_stream(container: av.container.OutputContainer, form: AudioFormat) -> AudioStream:
    stream = container.add_stream("aac", rate=form.sample_rate_hz, layout=form.layout)
    stream.bit_rate = AUDIO_BIT_RATE * form.channels // 2
    stream.time_base = Fraction(1, form.sample_rate_hz)
    return stream


def track_durations_s(path: str | Path) -> tuple[float, float]:
    """Reads the (picture, sound) seconds that a finished file's index states; 0 for a track that is not there."""
    with open_media(path) as container:
        tracks = (video_stream(container), audio_stream(container))
        video_s, audio_s = (
            float(t.duration * t.time_base) if t is not None and t.duration and t.time_base else 0.0 for t in tracks
        )
    return video_s, audio_s
