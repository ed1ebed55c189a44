"""Computes the SuperFlux onset envelope (2) of music and picks its onsets, section 3.1.1.

SuperFlux (Boeck and Widmer 2013): how much each log-frequency band rises above the loudest of its neighbours `lag`
frames before, averaged over the bands. librosa computes it and picks its peaks, with no default left to it. Its
`center` would delay the envelope by half a window; we do without, and take off the little that is left (envelope.py).
Knows spectrograms, no beats, no files.

Shapes: N samples; T = 1 + N // hop envelope frames, frame t standing for the time `times_s(t)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import librosa
import numpy as np
from numpy.typing import NDArray

from mudar.features.envelope import latency_s, parabolic_offset, scaled
from mudar.features.mel import onset_bands, onset_log_mel
from mudar.records import Array
from mudar.spec import AudioSpec

_BLOCK_FRAMES = 2048
_TIE_BREAK = 1e-6
BASS_HZ = 160.0  # below: kick drum and bass, which mark the bar


class Flux(NamedTuple):
    """Says by three (T,) curves how much louder it gets."""

    envelope: Array  # SuperFlux (2), mean decibels over all bands: every onset counts, however soft its sound
    bass: Array  # the same over the bands of kick and bass
    swell: Array  # mean rise in amplitude: the loudest instruments count, which carry the beat


def onset_envelope(samples: Array, spec: AudioSpec) -> Array:
    """Computes the (T,) onset strength of (N,) mono samples, in mean decibels of rise; see `scaled` for 0..1."""
    return superflux(onset_log_mel(samples, spec), spec).envelope


def superflux(mel_db: Array, spec: AudioSpec) -> Flux:
    """Computes the onset curves of a (T, onset_n_mels) log-mel spectrogram in decibels."""
    lag, frames = spec.onset_lag_frames, len(mel_db)
    bass = max(1, int(np.count_nonzero(_centres_hz(spec) < BASS_HZ)))
    envelope, low, swell = (np.zeros(frames, np.float32) for _ in range(3))
    for start in range(lag, frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, frames)
        block = mel_db[start - lag : stop].T  # (bands, lag + n)
        rise = _rise(block, spec, spec.onset_max_size, [slice(None), slice(bass)])
        envelope[start:stop], low[start:stop] = rise[:, lag:]
        swell[start:stop] = _rise(librosa.db_to_amplitude(block, ref=1.0), spec, 1, [slice(None)])[0, lag:]
    return Flux(envelope, low, swell)


def _rise(bands: Array, spec: AudioSpec, max_size: int, channels: list[slice]) -> Array:
    """Returns the mean rise (channels, n) of (M, n) bands over those of each channel; 0 in the first `lag` frames."""
    return librosa.onset.onset_strength_multi(
        S=bands, sr=spec.sample_rate_hz, n_fft=spec.n_fft, hop_length=spec.hop_samples, lag=spec.onset_lag_frames,
        max_size=max_size, detrend=False, center=False, aggregate=np.mean, channels=channels,
    )  # fmt: skip


def times_s(frames: NDArray[Any], spec: AudioSpec) -> Array:
    """Returns the seconds in the file of (fractional) envelope frames, never before its start."""
    return np.maximum(np.asarray(frames) / spec.frame_rate_hz - latency_s(spec), 0.0).astype(np.float32)


def pick_onsets(envelope: Array, spec: AudioSpec) -> tuple[Array, Array]:
    """Picks the onsets of a (T,) envelope: times (K,) in ascending seconds and strengths (K,) in 0..1.

    An onset is the largest value within -peak_pre_max..+peak_post_max, at least peak_delta above the mean over
    -peak_pre_avg..+peak_post_avg, and no sooner than peak_wait after the last one. Peaks are placed between frames
    by a parabola.
    """
    if not envelope.any():
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    curve, rate = scaled(envelope, spec), spec.frame_rate_hz
    # A strong peak is cut off flat, where the envelope still has a maximum: a trace of it tells which frame that is.
    unambiguous = curve + envelope.astype(np.float64) * (_TIE_BREAK / float(envelope.max()))
    frames = librosa.util.peak_pick(
        unambiguous,
        pre_max=round(spec.peak_pre_max_s * rate), post_max=max(round(spec.peak_post_max_s * rate), 1) + 1,
        pre_avg=round(spec.peak_pre_avg_s * rate), post_avg=round(spec.peak_post_avg_s * rate) + 1,
        delta=spec.peak_delta, wait=round(spec.peak_wait_s * rate), sparse=True,
    )  # fmt: skip
    return times_s(frames + parabolic_offset(envelope, frames), spec), curve[frames]


def _centres_hz(spec: AudioSpec) -> NDArray[np.float64]:
    bands = onset_bands(spec)  # (F, M)
    return np.asarray(bands.argmax(axis=0) * spec.sample_rate_hz / spec.n_fft, np.float64)
