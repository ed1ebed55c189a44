"""Plays a clip's own sound along its time map, to be mixed under the new song: it slows and speeds up with the picture.

Pitch follows speed, as on a tape: footsteps and breath keep in time, and nothing smears. Memory: a second of sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mudar.media.decode.audio import sound_pieces
from mudar.media.decode.container import audio_stream, open_media
from mudar.media.render.audio import BLOCK_SAMPLES
from mudar.media.render.format import AudioFormat, Block


def has_sound(path: str | Path) -> bool:
    """Tells whether the file has a sound track."""
    with open_media(path) as container:
        return audio_stream(container) is not None


def varispeed(
    path: str | Path,
    form: AudioFormat,
    source_s: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    samples: int,
    gain_db: float,
) -> Iterator[Block]:
    """Yields blocks (C, <= 1024), `samples` in all: the sound of source second source_s(t) at output second t."""
    tape = _Tape(sound_pieces(path, form.sample_rate_hz, form.layout), form.channels)
    gain = np.float32(10 ** (gain_db / 20))
    for start in range(0, samples, BLOCK_SAMPLES):
        at = np.arange(start, min(start + BLOCK_SAMPLES, samples)) / form.sample_rate_hz
        yield gain * tape.read(source_s(at) * form.sample_rate_hz)


class _Tape:
    """Reads decoded sound at ascending, fractional sample positions; silence before, in gaps and after."""

    def __init__(self, pieces: Iterator[tuple[int, Block]], channels: int) -> None:
        self._pieces = pieces
        self._first = 0
        self._buffer = np.zeros((channels, 0), np.float32)

    def read(self, positions: NDArray[np.float64]) -> Block:
        """Interpolates (C, N) linearly."""
        low, high = int(np.floor(positions[0])), int(np.floor(positions[-1])) + 2
        self._drop_before(low)
        while self._first + self._buffer.shape[1] < high:
            piece = next(self._pieces, None)
            if piece is None:
                self._append(high, self._buffer[:, :0])
                break
            self._append(*piece)
            self._drop_before(low)
        index = np.arange(self._first, self._first + self._buffer.shape[1])
        return np.stack([np.interp(positions, index, channel, left=0.0, right=0.0) for channel in self._buffer]).astype(
            np.float32
        )

    def _drop_before(self, position: int) -> None:
        count = min(max(0, position - self._first), self._buffer.shape[1])
        self._buffer, self._first = self._buffer[:, count:], self._first + count

    def _append(self, at: int, piece: Block) -> None:
        end = self._first + self._buffer.shape[1]
        gap = np.zeros((len(self._buffer), max(0, at - end)), np.float32)
        self._buffer = np.concatenate([self._buffer, gap, piece[:, max(0, end - at) :]], axis=1)
