"""Decodes a file's sound to one mono waveform on the file's clock (paper 3.1.1, the input of the spectrogram).

Any layout is mixed to mono and resampled while it is decoded, so memory is that of the result: 4 bytes a sample.
Knows nothing of mel, onsets or silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
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
        stream = select_audio(container, name)
        samples = _Samples(sample_rate_hz, container, start_s)
        try:
            for frame in decoded_frames(container, stream, name):
                assert isinstance(frame, av.AudioFrame)
                samples.add(frame)
            samples.end_run()
        except av.FFmpegError as error:  # decoding errors are dealt with above; this is sound that nobody can convert
            raise UnreadableMedia(f"The sound of {name} has an impossible format.") from error
        _check_end(container, stream, samples, start_s, name)
    return Waveform(samples.finish(), sample_rate_hz)


def _check_end(container: InputContainer, stream: AudioStream, samples: _Samples, start_s: float, name: str) -> None:
    if not samples.count:
        raise UnreadableMedia(f"No sound in {name} could be decoded.")
    promised_s = promised_end_s(container, stream)
    end_s = samples.count / samples.rate_hz + start_s
    if ends_early(end_s, promised_s):
        raise TruncatedMedia(f"The sound of {name} ends at {end_s:.1f} s of {promised_s:.1f} s.")


class _Samples:
    """Collects resampled runs of contiguous sound, each at its time stamp, in a buffer that grows."""

    def __init__(self, rate_hz: int, container: InputContainer, start_s: float) -> None:
        stated_s = length_s(container)
        self.rate_hz = rate_hz
        self.count = 0
        self._limit_s = stated_s + 1.0 if stated_s else float("inf")  # no time stamp may pad beyond the file's end
        self._start_s = start_s
        self._buffer = np.zeros(int(min(stated_s, 3600.0) + 2) * rate_hz, np.float32)
        self._resampler: AudioResampler | None = None
        self._format: tuple[object, ...] = ()
        self._expected_s = 0.0  # where the next frame of this run should lie
        self._skip = 0  # samples of this run that lie before what is already there

    def add(self, frame: av.AudioFrame) -> None:
        """Appends one decoded frame of any format."""
        time_s = self._expected_s if frame.time is None else frame.time - self._start_s
        slip_s = time_s - self._expected_s
        if time_s > self._limit_s or slip_s > MAX_GAP_S or (slip_s < -JUMP_S and self.count):
            self._start_s += slip_s  # the file's clock jumped; ours goes on
            time_s, slip_s = self._expected_s, 0.0
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        slipped = abs(slip_s) > SLIP_S
        if self._resampler is None or form != self._format or slipped:
            self.end_run()
            self._begin_run(time_s if slipped else self._expected_s, form)
        self._expected_s += frame.samples / frame.sample_rate
        frame.pts = None  # its position is ours; the resampler must not fill or cut on its own
        self._resample(frame)

    def _begin_run(self, time_s: float, form: tuple[object, ...]) -> None:
        start = round(time_s * self.rate_hz)
        if start > self.count:
            self._reserve(start)
            self.count = start  # the buffer is born zero: a gap is silence
        self._skip = self.count - start
        self._expected_s = time_s
        self._format = form
        self._resampler = AudioResampler(format="flt", layout="mono", rate=self.rate_hz, options=UNIT_GAIN)

    def end_run(self) -> None:
        """Appends what the resampler still buffers."""
        if self._resampler is not None:
            self._resample(None)
            self._resampler = None

    def _resample(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler is not None
        for out in self._resampler.resample(frame):
            self._append(cast("NDArray[np.float32]", out.to_ndarray()).reshape(-1))

    def _append(self, block: NDArray[np.float32]) -> None:
        skipped = min(self._skip, len(block))
        self._skip -= skipped
        block = block[skipped:]
        self._reserve(self.count + len(block))
        self._buffer[self.count : self.count + len(block)] = block
        self.count += len(block)

    def _reserve(self, count: int) -> None:
        if count > len(self._buffer):  # resize grows in place where it can; concatenation would hold everything twice
            self._buffer.resize(int(count * 1.25) + self.rate_hz, refcheck=False)

    def finish(self) -> NDArray[np.float32]:
        """Returns the (N,) samples."""
        self._buffer.resize(self.count, refcheck=False)
        return self._buffer
