"""Computes mel spectrograms, equation (1), by librosa's Fourier transform and filters. Knows no onsets.

librosa transforms a song block by block, since the complex spectrum of 10 minutes would take 300 MB. It takes 2-3 s of
a core and 190 MB to load, at the first use and not at import: whoever embeds only dances does without. Its compiled
parts need a folder that can be written: NUMBA_CACHE_DIR names one where neither its own nor the user's home can be.

Frame t is centred on sample t * hop. Beyond both ends there is silence.
Shapes: N samples; T = 1 + N // hop frames; F = 1 + n_fft // 2 frequencies; M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import librosa
import numpy as np

from mudar.records import Array
from mudar.spec import AudioSpec

BLOCK_FRAMES = 512  # 2 MB of complex spectrum at a time, whatever the length of the song
RANGE_DB = 80.0  # what lies further below the loudest band of the file counts as silent
_LEAST_POWER = 1e-10


def frame_count(samples: int, spec: AudioSpec) -> int:
    """Returns T, the feature frames of a signal of so many samples."""
    return 1 + samples // spec.hop_samples


def log_mel(samples: Array, spec: AudioSpec) -> Array:
    """Returns (T, n_mels) decibels below the file's loudest band, -80..0, of (N,) mono samples in -1..1."""
    return to_db(mel_power(samples, spec, model_bands(spec)))


def onset_log_mel(samples: Array, spec: AudioSpec) -> Array:
    """Returns the same over SuperFlux's finer bands, (T, onset_n_mels).

    By a transform of its own, so that a long song's two spectrograms are never in memory at once: 40 MB in 10 minutes,
    for 1 ms of computing in a second of sound.
    """
    return to_db(mel_power(samples, spec, onset_bands(spec)))


def mel_power(samples: Array, spec: AudioSpec, bands: Array) -> Array:
    """Returns the (T, M) power of (N,) samples in the given (F, M) bands."""
    power = np.empty((frame_count(len(samples), spec), bands.shape[1]), np.float32)
    for start_frame, spectrum in power_blocks(samples, spec):
        np.matmul(spectrum, bands, out=power[start_frame : start_frame + len(spectrum)])
    return power


def power_blocks(samples: Array, spec: AudioSpec, block_frames: int = BLOCK_FRAMES) -> Iterator[tuple[int, Array]]:
    """Yields (start_frame, (n, F) squared magnitudes) for consecutive blocks of at most `block_frames` frames."""
    window = _window(spec.window, spec.n_fft)
    half, total = spec.n_fft // 2, frame_count(len(samples), spec)
    for start_frame in range(0, total, block_frames):
        frames = min(block_frames, total - start_frame)
        first = start_frame * spec.hop_samples - half
        piece = _cut(samples, first, first + (frames - 1) * spec.hop_samples + spec.n_fft)
        spectrum = librosa.stft(
            piece, n_fft=spec.n_fft, hop_length=spec.hop_samples, win_length=spec.n_fft, window=window, center=False
        )  # (F, n)
        yield start_frame, (spectrum.real**2 + spectrum.imag**2).T


def to_db(power: Array) -> Array:
    """Converts power to decibels below its own maximum, in place, cut off at -80; all -80 when there is no power."""
    peak = float(power.max(initial=0.0))
    if peak <= _LEAST_POWER:
        power.fill(-RANGE_DB)
        return power
    floor = max(peak * 10 ** (-RANGE_DB / 10), _LEAST_POWER)
    for start in range(0, len(power), BLOCK_FRAMES):
        block = power[start : start + BLOCK_FRAMES]
        np.maximum(librosa.power_to_db(block, ref=peak, amin=floor, top_db=None), np.float32(-RANGE_DB), out=block)
    return power


def onset_bands(spec: AudioSpec) -> Array:
    """Returns the (F, onset_n_mels) filters of SuperFlux's fine log-frequency axis."""
    return mel_bands(spec.sample_rate_hz, spec.n_fft, spec.onset_n_mels, spec.fmin_hz, spec.fmax_hz)


def model_bands(spec: AudioSpec) -> Array:
    """Returns the (F, n_mels) filters of the axis that the network reads."""
    return mel_bands(spec.sample_rate_hz, spec.n_fft, spec.n_mels, spec.fmin_hz, spec.fmax_hz)


@lru_cache(maxsize=8)
def mel_bands(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> Array:
    """Returns (F, n_mels) triangles of equal area on Slaney's mel scale."""
    bands = librosa.filters.mel(
        sr=sample_rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz, htk=False, norm="slaney"
    )
    return np.ascontiguousarray(bands.T, np.float32)


@lru_cache(maxsize=8)
def _window(name: str, n_fft: int) -> Array:
    """Returns a periodic window of scipy.signal; in float32, or librosa computes in float64 at half the speed."""
    return np.asarray(librosa.filters.get_window(name, n_fft, fftbins=True), np.float32)


def _cut(samples: Array, first: int, last: int) -> Array:
    """Cuts samples first..last as float32, silence where the signal has none."""
    inside = samples[max(first, 0) : max(last, 0)]
    before = max(-first, 0)
    return np.pad(np.asarray(inside, np.float32), (before, last - first - before - len(inside)))
