"""Onsets of music, section 3.1.1: the SuperFlux envelope (2) and its peaks. Knows spectrograms, no beats, no files.

SuperFlux (Boeck and Widmer 2013): how much each log-frequency band rises above the loudest of its neighbours `lag`
frames before, averaged over the bands. As librosa computes it (the tests compare), but with time kept straight:
librosa delays the envelope by half a window; we leave it, and take off the little that is left (`latency_s`).

Shapes: N samples; T = 1 + N // hop envelope frames, frame t standing for the time `times_s(t)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mudar.features.mel import mel_power, onset_bands, to_db
from mudar.records import Array
from mudar.spec import AudioSpec

_WINDOW_SHARE = 0.28  # see latency_s
_BLOCK_FRAMES = 2048
_SCALE_BLOCK_S, _SCALE_QUANTILE = 2.0, 0.8
BASS_HZ = 160.0  # below: kick drum and bass, which mark the bar


class Flux(NamedTuple):
    """Three (T,) curves of how much louder it gets."""

    envelope: Array  # SuperFlux (2), mean decibels over all bands: every onset counts, however soft its sound
    bass: Array  # the same over the bands of kick and bass
    swell: Array  # mean rise in amplitude: the loudest instruments count, which carry the beat


def onset_envelope(samples: Array, spec: AudioSpec) -> Array:
    """(T,) onset strength of (N,) mono samples, in mean decibels of rise; see `scaled` for 0..1."""
    return superflux(to_db(mel_power(samples, spec, onset_bands(spec))), spec).envelope


def superflux(mel_db: Array, spec: AudioSpec) -> Flux:
    """The curves of a (T, onset_n_mels) log-mel spectrogram."""
    lag, frames = spec.onset_lag_frames, len(mel_db)
    bass = max(1, int(np.count_nonzero(_centres_hz(spec) < BASS_HZ)))
    envelope, low, swell = (np.zeros(frames, np.float32) for _ in range(3))
    for start in range(lag, frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, frames)
        now, before = mel_db[start:stop], mel_db[start - lag : stop - lag]
        rise = np.maximum(now - _loudest_neighbour(before, spec.onset_max_size), 0.0)
        envelope[start:stop] = rise.mean(axis=1)
        low[start:stop] = rise[:, :bass].mean(axis=1)
        amplitude = np.exp(mel_db[start - lag : stop] * np.float32(np.log(10) / 20))
        swell[start:stop] = np.maximum(amplitude[lag:] - amplitude[:-lag], 0.0).mean(axis=1)
    return Flux(envelope, low, swell)


def latency_s(spec: AudioSpec) -> float:
    """How much later than the sound the envelope peaks, in seconds.

    Half the lag, since the rise is best seen when the onset lies between the two frames that are compared, less the
    part of the window ahead of its centre in which an onset is loud enough to count. The share 0.28 was fitted to
    clicks, noise bursts and notes with 1 ms of attack, at windows of 21-85 ms; what remains is within 3 ms.
    """
    return (spec.onset_lag_frames * spec.hop_samples / 2 - _WINDOW_SHARE * spec.n_fft) / spec.sample_rate_hz


def times_s(frames: NDArray[Any], spec: AudioSpec) -> Array:
    """Seconds in the file of (fractional) envelope frames, never before its start."""
    return np.maximum(np.asarray(frames) / spec.frame_rate_hz - latency_s(spec), 0.0).astype(np.float32)


def scaled(envelope: Array, spec: AudioSpec) -> Array:
    """The envelope in 0..1: 1 is a strong peak of this file, so that one loud bang does not dwarf the others."""
    block = max(1, round(_SCALE_BLOCK_S * spec.frame_rate_hz))
    starts = np.arange(0, len(envelope), block)
    if not len(starts):
        return envelope
    level = float(np.quantile(np.maximum.reduceat(envelope, starts), _SCALE_QUANTILE)) or float(envelope.max())
    return np.clip(envelope / level, 0.0, 1.0).astype(np.float32) if level > 0 else np.zeros_like(envelope)


def pick_onsets(envelope: Array, spec: AudioSpec) -> tuple[Array, Array]:
    """Onset times (K,) in ascending seconds and strengths (K,) in 0..1 of a (T,) envelope.

    An onset is the largest value within -peak_pre_max..+peak_post_max, at least peak_delta above the mean over
    -peak_pre_avg..+peak_post_avg, and no sooner than peak_wait after the last one. Peaks are placed between frames
    by a parabola.
    """
    if not len(envelope):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    curve, rate = scaled(envelope, spec), spec.frame_rate_hz
    before, after = round(spec.peak_pre_max_s * rate), round(spec.peak_post_max_s * rate)
    # The clipped curve has plateaus where the envelope still has a summit: look for summits in the envelope itself.
    summit = (envelope > 0) & (envelope >= _windowed_max(envelope, before, max(after, 1)))
    mean = _windowed_mean(curve, round(spec.peak_pre_avg_s * rate), round(spec.peak_post_avg_s * rate))
    frames = _spaced(np.flatnonzero(summit & (curve >= mean + spec.peak_delta)), round(spec.peak_wait_s * rate))
    return times_s(frames + parabola(envelope, frames), spec), curve[frames]


def parabola(envelope: Array, frames: NDArray[np.intp]) -> Array:
    """How far (-0.5..0.5 frames) from each of these summits the parabola through it and its neighbours peaks."""
    left, right = envelope[np.maximum(frames - 1, 0)], envelope[np.minimum(frames + 1, len(envelope) - 1)]
    bend = left - 2 * envelope[frames] + right
    shift = np.where(bend < 0, (left - right) / (2 * np.where(bend < 0, bend, -1)), 0.0)
    return np.clip(shift, -0.5, 0.5).astype(np.float32)


def curve_at(envelope: Array, spec: AudioSpec, fps: float, frames: int) -> Array:
    """(frames,) in 0..1: the scaled envelope's maximum within each frame of a video of `fps`, frame i at i / fps."""
    edges_s = (np.arange(frames + 1) - 0.5) / fps + latency_s(spec)
    edges = np.clip(np.ceil(edges_s * spec.frame_rate_hz), 0, len(envelope)).astype(np.intp)
    padded = np.append(scaled(envelope, spec), np.float32(0.0))
    found = np.maximum.reduceat(padded, edges)[:frames] if frames else padded[:0]
    return np.where(edges[1:] > edges[:-1], found, np.float32(0.0))


def _centres_hz(spec: AudioSpec) -> NDArray[np.float64]:
    bands = onset_bands(spec)  # (F, M)
    return np.asarray(bands.argmax(axis=0) * spec.sample_rate_hz / spec.n_fft, np.float64)


def _loudest_neighbour(mel_db: Array, size: int) -> Array:
    """Maximum over `size` adjacent bands, the nearest ones at the edges."""
    left, right = size // 2, size - 1 - size // 2
    found = mel_db.copy()
    for step in range(1, max(left, right) + 1):
        if step <= left:
            np.maximum(found[:, step:], mel_db[:, :-step], out=found[:, step:])
        if step <= right:
            np.maximum(found[:, :-step], mel_db[:, step:], out=found[:, :-step])
    return found


def _windowed_max(curve: Array, before: int, after: int) -> Array:
    padded = np.pad(curve, (before, after), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(padded, before + after + 1).max(axis=1)


def _windowed_mean(curve: Array, before: int, after: int) -> NDArray[np.float64]:
    """Mean over -before..+after frames, of as many as there are at the ends."""
    total = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    frame = np.arange(len(curve))
    first, last = np.maximum(frame - before, 0), np.minimum(frame + after + 1, len(curve))
    return (total[last] - total[first]) / (last - first)


def _spaced(frames: NDArray[np.intp], wait: int) -> NDArray[np.intp]:
    """Those frames that come more than `wait` frames after the last one kept."""
    kept: list[int] = []
    for frame in frames.tolist():
        if not kept or frame > kept[-1] + wait:
            kept.append(frame)
    return np.array(kept, np.intp)
