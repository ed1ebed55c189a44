"""Cuts the new song for the output: to the sample, faded, in blocks for the encoder, kept from clipping."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from mudar.media.decode.audio import sound_pieces
from mudar.media.decode.container import length_s, may_restart, open_media, select_audio
from mudar.media.decode.timestamps import measured_end_s, stream_start_s
from mudar.media.render.format import AudioFormat, Block

BLOCK_SAMPLES = 1024  # an AAC frame
FADE_IN_S = 0.01  # a song entered in its middle would click
COMMON_RATES_HZ = (44_100, 48_000)
CEILING = 0.99  # AAC shifts peaks by a little
RELEASE = 1.06  # times a border's gain that the next one may have: 20 dB in a second


def inspect_audio(path: str | Path) -> AudioFormat:
    """Chooses the output's sound for this song; NoAudioStream, UnreadableMedia.

    The song's own sample rate if AAC players are used to it, else 48 kHz. Mono for a song in mono, which would lose
    3 dB on two channels; else stereo.
    """
    with open_media(path) as container:
        stream = select_audio(container, Path(path).name)
        rate_hz, channels = int(stream.codec_context.sample_rate), stream.codec_context.channels
        stated = stream.duration if stream.time_base and not may_restart(container) else None
        duration_s = float(stated * stream.time_base) if stated and stream.time_base else length_s(container)
    duration_s = duration_s or measured_end_s(path, "audio") - stream_start_s(path)
    return AudioFormat(
        rate_hz if rate_hz in COMMON_RATES_HZ else 48_000, "mono" if channels == 1 else "stereo", duration_s
    )


def song_blocks(
    path: str | Path, form: AudioFormat, start_s: float, samples: int, fade_s: float
) -> Generator[Block, None, None]:
    """Decodes blocks (C, 1024), the last one shorter, `samples` in all, from second `start_s` of the file on.

    Silence where the file has none. Fades in over 10 ms if it enters in the middle, out over `fade_s`.
    """
    rate_hz = form.sample_rate_hz
    fade_in = round(FADE_IN_S * rate_hz) if start_s > 0.02 else 0
    fade_out = min(round(fade_s * rate_hz), samples // 2)
    pieces = sound_pieces(path, rate_hz, form.layout)
    for at, block in _fill_blocks(pieces, form.channels, round(start_s * rate_hz), samples):
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


def _fill_blocks(
    pieces: Iterator[tuple[int, Block]], channels: int, start: int, samples: int
) -> Iterator[tuple[int, Block]]:
    """Cuts pieces into (position in the output, (C, <= 1024)) over start .. start + samples, with silence in gaps."""
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


def limit_peaks(blocks: Iterator[Block], ceiling: float = CEILING) -> Iterator[Block]:
    """Turns down (C, n) blocks that would clip so that none is louder than `ceiling`; delays by one block.

    A block's own gain is what its peak needs. The gain at the border of two blocks is the lower of theirs, and between
    two borders it is linear; so it never exceeds what any sample needs, begins to fall a block (23 ms) ahead and rises
    slowly, and a song that stays under the ceiling comes out as it went in, bit by bit.
    """
    previous: tuple[Block, float] | None = None
    border = 1.0  # gain where the previous block begins
    for block in blocks:
        need = min(1.0, ceiling / max(float(np.abs(block).max(initial=0.0)), 1e-9))
        if previous is None:
            border = need
        else:
            following = min(previous[1], need, border * RELEASE)
            yield _apply_ramp(previous[0], border, following)
            border = following
        previous = block, need
    if previous is not None:
        yield _apply_ramp(previous[0], border, min(previous[1], border * RELEASE))


def _apply_ramp(block: Block, first: float, last: float) -> Block:
    if first == last == 1.0:
        return block
    return (block * np.linspace(first, last, block.shape[1], dtype=np.float32)).astype(np.float32)
