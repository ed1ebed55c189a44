"""Tempogram, tempo, beats and downbeats from an onset envelope, for the paper's 'Input'. Knows no sound, no files.

Beats by dynamic programming (Ellis 2007): of all chains of frames, the one whose onset strength is large and whose
steps are near the tempo's period. Each block of half a period is solved at once, since no step is shorter.

Shapes: T envelope frames; K tempogram frames, one every `_STEP_S`; L lags in envelope frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mudar.features.onset import latency_s, parabola, times_s
from mudar.records import Array
from mudar.spec import AudioSpec

_STEP_S = 0.1  # a tempogram over 8 s windows changes slowly
_PRIOR_OCTAVES = 1.0  # standard deviation of the tempo's log-normal prior
_PULSE_S = 0.025  # standard deviation of a beat in `beat_curve`


@dataclass(frozen=True)
class Beats:
    """times_s: (M,) ascending. alternatives: (bpm, weight), best first, among x1, x1/2, x2; weights sum to 1."""

    times_s: Array
    tempo_bpm: float
    alternatives: tuple[tuple[float, float], ...]


def tempi_bpm(spec: AudioSpec) -> NDArray[np.float64]:
    """(tempogram_bins,) log-spaced tempi of the tempogram's columns."""
    return np.geomspace(spec.tempo_min_bpm, spec.tempo_max_bpm, spec.tempogram_bins)


def tempogram(envelope: Array, spec: AudioSpec) -> Array:
    """(T, tempogram_bins): how well the envelope around each frame repeats at each tempo, 1 = like itself."""
    frames, local = _local_autocorrelation(envelope, spec)
    lags = 60.0 * spec.frame_rate_hz / tempi_bpm(spec)
    coarse = _at_lags(local, lags)  # (K, bins)
    left = np.clip(np.searchsorted(frames, np.arange(len(envelope)), side="right") - 1, 0, len(frames) - 1)
    right = np.minimum(left + 1, len(frames) - 1)
    share = (np.arange(len(envelope)) - frames[left]) / np.maximum(frames[right] - frames[left], 1)
    share = share[:, None].astype(np.float32)
    return coarse[left] * (1 - share) + coarse[right] * share


def beats(envelope: Array, spec: AudioSpec) -> Beats:
    """The beats of a (T,) envelope; none, and a tempo of 0, when nothing in it repeats."""
    candidates = _tempo_candidates(envelope, spec)
    if not candidates:
        return Beats(np.zeros(0, np.float32), 0.0, ())
    guess_bpm = candidates[0][0]
    period = 60.0 * spec.frame_rate_hz / guess_bpm
    score = _local_score(envelope, period)
    frames = _trimmed(_best_chain(score, period, spec.tightness), score)
    found_s = times_s(frames + _to_summit(envelope, frames), spec)
    tempo_bpm = _tempo_of(found_s, guess_bpm)
    return Beats(found_s, tempo_bpm, tuple((bpm * tempo_bpm / guess_bpm, weight) for bpm, weight in candidates))


def downbeats(accent: Array, found: Beats, spec: AudioSpec, meter: int = 4) -> Array:
    """Every `meter`-th beat (D,) in seconds, beginning with the one that makes a (T,) accent curve largest.

    The bass envelope is the better accent: in the whole one, snares on 2 and 4 outweigh the kick on 1.
    """
    if len(found.times_s) < meter:
        return np.zeros(0, np.float32)
    frames = np.rint((found.times_s + latency_s(spec)) * spec.frame_rate_hz).astype(np.intp)
    near = np.clip(frames[:, None] + np.arange(-2, 3), 0, len(accent) - 1)
    strength = accent[near].max(axis=1)
    phase = max(range(meter), key=lambda first: float(strength[first::meter].mean()))
    return found.times_s[phase::meter]


def beat_curve(found: Beats, spec: AudioSpec, frames: int) -> Array:
    """(frames,) at the envelope's rate: a bump of height 1 at each beat."""
    curve = np.zeros(frames, np.float32)
    reach = int(4 * _PULSE_S * spec.frame_rate_hz) + 1
    at = (found.times_s + latency_s(spec)) * spec.frame_rate_hz
    near = np.rint(at).astype(np.intp)[:, None] + np.arange(-reach, reach + 1)  # (M, 2 reach + 1)
    bump = np.exp(-0.5 * ((near - at[:, None]) / (_PULSE_S * spec.frame_rate_hz)) ** 2).astype(np.float32)
    inside = (near >= 0) & (near < frames)
    np.maximum.at(curve, near[inside], bump[inside])
    return curve


def _local_autocorrelation(envelope: Array, spec: AudioSpec) -> tuple[NDArray[np.intp], Array]:
    """Frame numbers (K,), and around each the autocorrelation (K, L) of the Hann-windowed envelope, 1 at lag 0."""
    rate = spec.frame_rate_hz
    window = round(spec.tempogram_window_s * rate)
    lags = int(60.0 * rate / spec.tempo_min_bpm) + 2
    frames = np.arange(0, max(len(envelope), 1), max(1, round(_STEP_S * rate)))
    padded = np.pad(envelope - (envelope.mean() if len(envelope) else 0.0), (window // 2, window))
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    size = scipy.fft.next_fast_len(window + lags, real=True)
    found = np.empty((len(frames), lags), np.float32)
    for start in range(0, len(frames), 256):
        some = frames[start : start + 256]
        spectrum = scipy.fft.rfft(padded[some[:, None] + np.arange(window)] * hann, size, axis=1)
        found[start : start + 256] = scipy.fft.irfft(np.abs(spectrum) ** 2, size, axis=1)[:, :lags]
    found /= np.maximum(found[:, :1], np.float32(1e-9))
    return frames, found


def _at_lags(local: Array, lags: NDArray[np.float64]) -> Array:
    """(K, len(lags)) values between the lags of a (K, L) autocorrelation, negative ones as 0."""
    low = np.floor(lags).astype(np.intp)
    share = (lags - low).astype(np.float32)
    return np.maximum(local[:, low] * (1 - share) + local[:, low + 1] * share, 0.0)


def _tempo_candidates(envelope: Array, spec: AudioSpec) -> list[tuple[float, float]]:
    """(bpm, weight) of the best tempo, its half and its double, best first; empty when nothing repeats."""
    _, local = _local_autocorrelation(envelope, spec)
    mean = local.mean(axis=0)[None]  # (1, L)
    tempi = np.geomspace(spec.tempo_min_bpm, spec.tempo_max_bpm, 512)

    def weight(bpm: NDArray[np.float64]) -> NDArray[np.float64]:
        octaves = np.log2(bpm / spec.start_bpm) / _PRIOR_OCTAVES
        return _at_lags(mean, 60.0 * spec.frame_rate_hz / bpm)[0] * np.exp(-0.5 * octaves**2)

    best = tempi[int(np.argmax(weight(tempi)))]
    all_three = np.array([best * factor for factor in (1.0, 0.5, 2.0)])
    family = all_three[(all_three >= spec.tempo_min_bpm) & (all_three <= spec.tempo_max_bpm)]
    weights = weight(family)
    if weights[0] <= 0:
        return []
    return sorted(zip(family.tolist(), (weights / weights.sum()).tolist(), strict=True), key=lambda pair: -pair[1])


def _local_score(envelope: Array, period: float) -> NDArray[np.float64]:
    """The envelope in units of its deviation, smoothed by a Gaussian of 1/32 of the period."""
    reach = round(period)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * 32.0 / period) ** 2)
    return np.convolve(envelope / max(float(envelope.std()), 1e-9), kernel, "full")[reach : reach + len(envelope)]


def _best_chain(score: NDArray[np.float64], period: float, tightness: float) -> NDArray[np.intp]:
    """Frames of the chain with the largest score, a step d costing tightness * ln(d / period)^2."""
    shortest, longest = max(1, round(period / 2)), round(2 * period)
    steps = np.arange(shortest, longest + 1)[::-1]  # (S,), so that earlier frames come first
    cost = tightness * np.log(steps / period) ** 2
    total = np.concatenate([np.zeros(longest), score])  # frame t at t + longest; before the file: nothing
    back = np.full(len(score), -1, np.intp)
    for start in range(0, len(score), shortest):
        block = np.arange(start, min(start + shortest, len(score)))
        before = np.lib.stride_tricks.sliding_window_view(total[start : block[-1] + 1 + longest - shortest], len(steps))
        choices = before - cost  # (block, S)
        best = choices.argmax(axis=1)
        gain = choices[np.arange(len(block)), best]
        linked = gain > 0
        back[block[linked]] = (block - steps[best])[linked]
        total[block[linked] + longest] += gain[linked]
    return _backtrack(total[longest:], back, longest)


def _backtrack(total: NDArray[np.float64], back: NDArray[np.intp], longest: int) -> NDArray[np.intp]:
    """From the best of the last frames to the first beat."""
    tail = max(0, len(total) - longest)
    frame = tail + int(np.argmax(total[tail:])) if len(total) else -1
    chain: list[int] = []
    while frame >= 0:
        chain.append(frame)
        frame = int(back[frame])
    return np.array(chain[::-1], np.intp)


def _trimmed(frames: NDArray[np.intp], score: NDArray[np.float64]) -> NDArray[np.intp]:
    """Without the weak beats of a silent beginning or end."""
    if not len(frames):
        return frames
    strong = np.flatnonzero(score[frames] >= 0.5 * np.sqrt(np.mean(score[frames] ** 2)))
    return frames[strong[0] : strong[-1] + 1] if len(strong) else frames


def _to_summit(envelope: Array, frames: NDArray[np.intp]) -> Array:
    """Offset (M,) in frames of each beat to the envelope's summit beside it, 0 where there is none."""
    inner = np.clip(frames, 1, max(len(envelope) - 2, 1))
    is_summit = (envelope[inner] >= envelope[inner - 1]) & (envelope[inner] >= envelope[inner + 1]) & (inner == frames)
    return np.where(is_summit, parabola(envelope, frames), np.float32(0.0))


def _tempo_of(found_s: Array, guess_bpm: float) -> float:
    """Beats a minute by the median of the steps over half of the beats; `guess_bpm` when there are too few."""
    half = len(found_s) // 2
    if half < 2:
        return guess_bpm
    return float(60.0 * half / np.median(found_s[half:].astype(np.float64) - found_s[:-half]))
