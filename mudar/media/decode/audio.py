"""Decodes a file's sound to one mono waveform on the file's clock (paper 3.1.1, the input of the spectrogram).

Any layout is mixed to mono and resampled while it is decoded, so memory is that of the result: 4 bytes a sample.
Knows nothing of mel, onsets or silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from mudar.errors import TruncatedMedia, UnreadableMedia
from mudar.media.decode.container import decoded_frames, length_s, open_media, select_audio
from mudar.media.decode.timestamps import JUMP_S, ends_early, promised_end_s, stream_start_s

MAX_GAP_S = 600.0  # and more than this is a broken clock
UNIT_GAIN = {"rematrix_maxval": "1.0"}  # the weights of a mix sum to 1: stereo is no louder than the same in mono
SLIP_S = 0.04  # time stamps that slip less than this are rounding, not a gap: matroska counts in milliseconds


@dataclass(frozen=True)
class Waveform:
    """Holds mono sound. samples: (N,) float32, nominally within -1..1; sample 0 is the file's time 0."""

    samples: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Returns the length in seconds."""
        return len(self.samples) / self.sample_rate_hz


def decode_audio(path: str | Path, sample_rate_hz: int) -> Waveform:
    """Decodes the sound track to its end; gaps and a late start are filled with zeros.

    Raises NoAudioStream, UnreadableMedia, or TruncatedMedia if it ends before its header says.
    """
    name = Path(path).name
    start_s = stream_start_s(path)
    with open_media(path) as container:
        promised_s, stated_s = promised_end_s(container, select_audio(container, name)), length_s(container)
    buffer = np.zeros(int(min(stated_s, 3600.0) + 2) * sample_rate_hz, np.float32)
    count = 0
    for at, block in sound_pieces(path, sample_rate_hz, "mono", options=UNIT_GAIN):
        start = max(at, count)  # an overlap is dropped; a gap stays zero, as the buffer was born
        end = max(at + block.shape[1], count)
        if end > len(buffer):  # resize grows in place where it can; concatenation would hold everything twice
            buffer.resize(int(end * 1.25) + sample_rate_hz, refcheck=False)
        buffer[start:end] = block[0, start - at :]
        count = end
    if not count:
        raise UnreadableMedia(f"No sound in {name} could be decoded.")
    end_s = count / sample_rate_hz + start_s
    if ends_early(end_s, promised_s):
        raise TruncatedMedia(f"The sound of {name} ends at {end_s:.1f} s of {promised_s:.1f} s.")
    buffer.resize(count, refcheck=False)
    return Waveform(buffer, sample_rate_hz)


def sound_pieces(
    path: str | Path, rate_hz: int, layout: str, options: dict[str, str] | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Decodes (number of the first sample on the file's clock, (C, n) float32), with the file's gaps and overlaps.

    A format that changes on the way is followed. NoAudioStream, UnreadableMedia.
    """
    name = Path(path).name
    start_s = stream_start_s(path)
    with open_media(path) as container:
        stream = select_audio(container, name)
        runs = _Runs(rate_hz, layout, options or {}, length_s(container), start_s)
        try:
            for frame in decoded_frames(container, stream, name):
                assert isinstance(frame, av.AudioFrame)
                yield from runs.add(frame)
            yield from runs.end_run()
        except av.FFmpegError as error:  # decoding errors are dealt with above; this is sound that nobody can convert
            raise UnreadableMedia(f"The sound of {name} has an impossible format.") from error


class _Runs:
    """Resamples decoded sound in runs that are contiguous and of one format, each placed by its time stamp."""

    def __init__(self, rate_hz: int, layout: str, options: dict[str, str], stated_s: float, start_s: float) -> None:
        self._rate_hz, self._layout, self._options = rate_hz, layout, options
        self._limit_s = stated_s + 1.0 if stated_s else float("inf")  # no time stamp may pad beyond the file's end
        self._start_s = start_s
        self._resampler: AudioResampler | None = None
        self._format: tuple[object, ...] = ()
        self._expected_s = 0.0  # where the next frame of this run should lie
        self._at = 0  # the sample that the resampler gives next

    def add(self, frame: av.AudioFrame) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Resamples one decoded frame of any format."""
        time_s = self._expected_s if frame.time is None else frame.time - self._start_s
        slip_s = time_s - self._expected_s
        if time_s > self._limit_s or slip_s > MAX_GAP_S or (slip_s < -JUMP_S and self._at):
            self._start_s += slip_s  # the file's clock jumped; ours goes on
            time_s, slip_s = self._expected_s, 0.0
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        slipped = abs(slip_s) > SLIP_S
        if self._resampler is None or form != self._format or slipped:
            yield from self.end_run()
            self._begin_run(time_s if slipped else self._expected_s, form)
        self._expected_s += frame.samples / frame.sample_rate
        frame.pts = None  # its position is ours; the resampler must not fill or cut on its own
        yield from self._resample(frame)

    def _begin_run(self, time_s: float, form: tuple[object, ...]) -> None:
        self._at, self._expected_s, self._format = round(time_s * self._rate_hz), time_s, form
        self._resampler = AudioResampler(format="fltp", layout=self._layout, rate=self._rate_hz, options=self._options)

    def end_run(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yields what the resampler still buffers."""
        if self._resampler is not None:
            yield from self._resample(None)
            self._resampler = None

    def _resample(self, frame: av.AudioFrame | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        assert self._resampler is not None
        for piece in self._resampler.resample(frame):
            samples = cast("NDArray[np.float32]", piece.to_ndarray())
            yield self._at, samples
            self._at += samples.shape[1]
