"""Mel spectrograms, equation (1): short-time Fourier transform with a Hamming window, in blocks. Knows no onsets.

The same numbers as librosa's (the tests compare them), without librosa's import: its numba kernels take 3-6 s and
170 MB to load, and fail to start under a read-only file system, where numba finds no place for its cache.

Frame t is centred on sample t * hop. Beyond both ends there is silence.
Shapes: N samples; T = 1 + N // hop frames; F = 1 + n_fft // 2 frequencies; M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft

from mudar.records import Array
from mudar.spec import AudioSpec

BLOCK_FRAMES = 512  # 2 MB of complex spectrum at a time, whatever the length of the song
RANGE_DB = 80.0  # what lies further below the loudest band of the file counts as silent
_LEAST_POWER = 1e-10


def frame_count(samples: int, spec: AudioSpec) -> int:
    """T: feature frames of a signal of so many samples."""
    return 1 + samples // spec.hop_samples


def log_mel(samples: Array, spec: AudioSpec) -> Array:
    """(T, n_mels) decibels below the file's loudest band, -80..0, of (N,) mono samples in -1..1."""
    return to_db(mel_power(samples, spec, _model_bands(spec)))


def both_log_mels(samples: Array, spec: AudioSpec) -> tuple[Array, Array]:
    """The model's (T, n_mels) and SuperFlux's (T, onset_n_mels) log-mel spectrograms, from one transform."""
    power = mel_power(samples, spec, np.concatenate([_model_bands(spec), onset_bands(spec)], axis=1))
    return to_db(power[:, : spec.n_mels]), to_db(power[:, spec.n_mels :])


def mel_power(samples: Array, spec: AudioSpec, bands: Array) -> Array:
    """(T, M) power of (N,) samples in the given (F, M) bands."""
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
        framed = np.lib.stride_tricks.sliding_window_view(piece, spec.n_fft)[:: spec.hop_samples]  # (n, n_fft)
        spectrum = scipy.fft.rfft(framed * window, axis=1)  # (n, F)
        yield start_frame, spectrum.real**2 + spectrum.imag**2


def to_db(power: Array) -> Array:
    """Decibels below the array's own maximum, cut off at -80; all -80 when there is no power at all."""
    peak = float(power.max(initial=0.0))
    if peak <= _LEAST_POWER:
        return np.full_like(power, -RANGE_DB)
    floor = max(peak * 10 ** (-RANGE_DB / 10), _LEAST_POWER)
    decibels = np.maximum(power, np.float32(floor))
    np.log10(decibels, out=decibels)
    decibels *= 10
    decibels -= np.float32(10 * np.log10(peak))
    return np.maximum(decibels, np.float32(-RANGE_DB), out=decibels)


def onset_bands(spec: AudioSpec) -> Array:
    """(F, onset_n_mels): the fine log-frequency axis that SuperFlux looks at."""
    return mel_bands(spec.sample_rate_hz, spec.n_fft, spec.onset_n_mels, spec.fmin_hz, spec.fmax_hz)


def _model_bands(spec: AudioSpec) -> Array:
    return mel_bands(spec.sample_rate_hz, spec.n_fft, spec.n_mels, spec.fmin_hz, spec.fmax_hz)


@lru_cache(maxsize=8)
def mel_bands(sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> Array:
    """(F, n_mels) triangles of equal area on Slaney's mel scale (librosa's htk=False, norm="slaney")."""
    frequency = np.linspace(0.0, sample_rate_hz / 2, n_fft // 2 + 1)
    edge = _mel_to_hz(np.linspace(_hz_to_mel(fmin_hz), _hz_to_mel(fmax_hz), n_mels + 2))
    low, centre, high = edge[:-2], edge[1:-1], edge[2:]
    rising = (frequency[:, None] - low) / (centre - low)
    falling = (high - frequency[:, None]) / (high - centre)
    triangle = np.maximum(0.0, np.minimum(rising, falling))
    return (triangle * 2.0 / (high - low)).astype(np.float32)


_HZ_PER_MEL = 200.0 / 3.0  # Slaney: linear below 1 kHz ...
_KNEE_HZ, _KNEE_MEL = 1000.0, 15.0
_MELS_PER_E = 27.0 / np.log(6.4)  # ... and 27 mels to a factor of 6.4 above


def _hz_to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < _KNEE_HZ else _KNEE_MEL + float(np.log(hz / _KNEE_HZ)) * _MELS_PER_E


def _mel_to_hz(mel: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    logarithmic = _KNEE_HZ * np.exp((mel - _KNEE_MEL) / _MELS_PER_E)
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, logarithmic)


_COSINE_WINDOWS = {"hamming": 0.54, "hann": 0.5}


@lru_cache(maxsize=8)
def _window(name: str, n_fft: int) -> Array:
    """The periodic (DFT-even) window; written out, since importing scipy.signal takes a second."""
    if name not in _COSINE_WINDOWS:
        raise ValueError(f"window is one of {', '.join(_COSINE_WINDOWS)}, not {name}")
    level = _COSINE_WINDOWS[name]
    return (level - (1 - level) * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _cut(samples: Array, first: int, last: int) -> Array:
    """Samples first..last as float32, silence where the signal has none."""
    inside = samples[max(first, 0) : max(last, 0)]
    before = max(-first, 0)
    return np.pad(np.asarray(inside, np.float32), (before, last - first - before - len(inside)))
