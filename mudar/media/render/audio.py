"""The new song as sound for the output: cut to the sample, faded, in encoder-sized blocks. Knows no picture."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from numpy.typing import NDArray

from mudar.errors import NoAudioStream
from mudar.media.decode.demux import decoded_frames
from mudar.media.decode.timestamps import stream_start_s
from mudar.media.probe.container import audio_stream, open_media, read_only

Block = NDArray[np.float32]  # (channels, samples)
Layout = Literal["mono", "stereo"]
BLOCK_SAMPLES = 1024  # an AAC frame
FADE_IN_S = 0.01  # a song entered in its middle would click
CHANNELS: dict[Layout, int] = {"mono": 1, "stereo": 2}
KEPT_RATES = (44_100, 48_000)


def output_sample_rate(path: str | Path) -> int:
    """The song's own rate if AAC players are used to it, else 48 kHz; NoAudioStream."""
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise NoAudioStream()
        rate = int(stream.codec_context.sample_rate)
    return rate if rate in KEPT_RATES else 48_000


def output_layout(path: str | Path) -> Layout:
    """Mono for a song in mono, which would lose 3 dB on two channels; else stereo. NoAudioStream."""
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise NoAudioStream()
        return "mono" if stream.codec_context.channels == 1 else "stereo"


def blocks(
    path: str | Path, sample_rate_hz: int, layout: Layout, start_s: float, samples: int, fade_s: float
) -> Generator[Block, None, None]:
    """Blocks (C, 1024), the last one shorter, `samples` in all, from second `start_s` of the file on.

    Silence where the file has none. Fades in over 10 ms if it enters in the middle, out over `fade_s`.
    """
    fade_in = round(FADE_IN_S * sample_rate_hz) if start_s > 0.02 else 0
    fade_out = min(round(fade_s * sample_rate_hz), samples // 2)
    for at, block in _exactly(
        decoded(path, sample_rate_hz, layout), CHANNELS[layout], round(start_s * sample_rate_hz), samples
    ):
        if at >= fade_in and at + block.shape[1] < samples - fade_out:
            yield block
            continue
        position = at + np.arange(block.shape[1])
        gain = np.ones(block.shape[1], np.float32)
        if fade_in:
            gain = np.minimum(gain, (position + 1) / fade_in)
        if fade_out:
            gain = np.minimum(gain, (samples - position - 1) / fade_out)
        yield (block * np.clip(gain, 0, 1)).astype(np.float32)


def decoded(path: str | Path, sample_rate_hz: int, layout: Layout) -> Iterator[tuple[int, Block]]:
    """(first sample's place in the file's time, (C, n)) as decoded, gaps and all."""
    zero_s = stream_start_s(path)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate_hz)
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise NoAudioStream()
        read_only(container, stream)
        at: int | None = None
        for frame in decoded_frames(container, stream, Path(path).name):
            assert isinstance(frame, av.AudioFrame)
            if at is None:
                at = round(((frame.time or 0.0) - zero_s) * sample_rate_hz)
            frame.pts = None  # placed by us; the resampler must not fill or cut on its own
            for piece in resampler.resample(frame):
                samples = cast(Block, piece.to_ndarray())
                yield at, samples
                at += samples.shape[1]
        for piece in resampler.resample(None):
            yield at or 0, cast(Block, piece.to_ndarray())


def _exactly(
    pieces: Iterator[tuple[int, Block]], channels: int, start: int, samples: int
) -> Iterator[tuple[int, Block]]:
    """(place in the output, (C, <=1024)) covering start .. start+samples without gaps, silence where no piece is."""
    block = np.zeros((channels, min(BLOCK_SAMPLES, samples)), np.float32)
    done, filled = 0, 0
    for at, piece in pieces:
        skip = max(0, start + done + filled - at)
        if skip >= piece.shape[1]:
            continue
        rest = piece[:, skip:]
        gap = max(0, at + skip - (start + done + filled))
        rest = np.pad(rest, ((0, 0), (gap, 0))) if gap else rest
        while rest.shape[1] and done < samples:
            take = min(rest.shape[1], block.shape[1] - filled)
            block[:, filled : filled + take] = rest[:, :take]
            rest, filled = rest[:, take:], filled + take
            if filled == block.shape[1]:
                yield done, block
                done, filled = done + filled, 0
                block = np.zeros((channels, min(BLOCK_SAMPLES, samples - done)), np.float32)
        if done >= samples:
            return
    while done < samples:
        yield done, block
        done += block.shape[1]
        block = np.zeros((channels, min(BLOCK_SAMPLES, samples - done)), np.float32)
