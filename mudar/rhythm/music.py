"""Computes all features of a piece of music, and the concatenation that the audio encoder reads (the paper's 'Input').

Time on one core: 0.11 s for 30 s of music; the process's first call takes 3 s more, in which librosa is loaded.
Memory: 350 MB for 10 minutes, Python, librosa (190 MB) and the samples (58 MB) included. Knows no files, no network.
Shapes: T envelope frames; Ta frames of a window; F = spec.input_dim = n_mels + 1 + 1 + tempogram_bins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mudar.errors import SilentAudio
from mudar.features.envelope import scaled
from mudar.features.mel import RANGE_DB, log_mel, onset_log_mel
from mudar.features.onset import pick_onsets, superflux
from mudar.records import Array
from mudar.rhythm.beat_tracking import Beats, beat_curve, downbeats, tempogram, track_music_beats
from mudar.spec import AudioSpec

_LOUDNESS_BLOCK_S = 0.05
LEAD_FRAMES = 20  # of silence before the file: what sounds from its first sample on begins there
FIRST_STRENGTH = 0.5  # of the median onset: weaker, and it is the beginning of the file that is heard
FIRST_FRAMES = 10  # that the beginning of the file reaches
FIRST_WITHIN_S = 0.03  # before the file: what lies at its very beginning


@dataclass(frozen=True)
class MusicFeatures:
    """Holds log_mel (T, n_mels) in -80..0 dB; envelope, beat_curve (T,); tempogram (T, bins); the events in seconds."""

    log_mel: Array
    envelope: Array  # SuperFlux, as it comes: see envelope.py
    tempogram: Array
    beat_curve: Array
    onset_times_s: Array
    onset_strengths: Array
    beats: Beats
    downbeats_s: Array
    duration_s: float
    spec: AudioSpec


def music_features(samples: Array, spec: AudioSpec) -> MusicFeatures:
    """Computes all features of (N,) mono samples at spec.sample_rate_hz. Raises SilentAudio."""
    require_sound(samples, spec)
    lead_s = LEAD_FRAMES * spec.hop_samples / spec.sample_rate_hz
    led = np.concatenate([np.zeros(LEAD_FRAMES * spec.hop_samples, np.float32), samples])
    envelope, bass, swell = superflux(onset_log_mel(led, spec), spec)
    onset_times_s, onset_strengths = pick_onsets(envelope, spec)
    beats = track_music_beats(envelope, spec, accent=swell)
    downbeats_s = downbeats((bass, envelope, swell), beats, spec)
    onset_times_s, beat_times_s, downbeats_s = (times - lead_s for times in (onset_times_s, beats.times_s, downbeats_s))
    # Where a file begins in the middle of a sound, silence before it makes an onset that nobody plays: a weak one.
    weakest = FIRST_STRENGTH * np.median(onset_strengths) if len(onset_strengths) else 0.0
    inside = (onset_times_s > FIRST_WITHIN_S) | (onset_strengths >= weakest)
    inside &= onset_times_s >= -FIRST_WITHIN_S
    beats = replace(beats, times_s=np.maximum(beat_times_s[beat_times_s >= -FIRST_WITHIN_S], 0.0))
    envelope = envelope[LEAD_FRAMES:].copy()
    if not (onset_times_s[inside] <= FIRST_WITHIN_S).any():
        envelope[:FIRST_FRAMES] = np.minimum(envelope[:FIRST_FRAMES], np.median(envelope))
    return MusicFeatures(
        log_mel=log_mel(samples, spec),
        envelope=envelope,
        tempogram=tempogram(envelope, spec),
        beat_curve=beat_curve(beats, spec, len(envelope)),
        onset_times_s=np.maximum(onset_times_s[inside], 0.0),
        onset_strengths=onset_strengths[inside],
        beats=beats,
        downbeats_s=np.maximum(downbeats_s[downbeats_s >= -FIRST_WITHIN_S], 0.0),
        duration_s=len(samples) / spec.sample_rate_hz,
        spec=spec,
    )


def model_input(features: MusicFeatures, start_s: float = 0.0, window_s: float | None = None) -> Array:
    """Concatenates [mel | onset | beat | tempogram] of the window from `start_s`, or of the file: (Ta, F).

    Ta = round(window_s * frame_rate_hz) whatever the file's length: what lies outside of the file is silence.
    Mel is scaled to -1..1, everything else to 0..1.
    """
    spec = features.spec
    mel = features.log_mel * np.float32(2 / RANGE_DB) + np.float32(1)
    onset = scaled(features.envelope, spec)
    rows = np.concatenate([mel, onset[:, None], features.beat_curve[:, None], features.tempogram], axis=1)
    if window_s is None:
        return rows
    first, frames = round(start_s * spec.frame_rate_hz), round(window_s * spec.frame_rate_hz)
    window = np.zeros((frames, rows.shape[1]), np.float32)
    window[:, : spec.n_mels] = -1.0
    inside = rows[max(first, 0) : first + frames]
    window[max(-first, 0) : max(-first, 0) + len(inside)] = inside
    return window


def require_sound(samples: Array, spec: AudioSpec) -> None:
    """Raises SilentAudio when even the loudest 50 ms lie below spec.silence_dbfs."""
    block = max(1, round(_LOUDNESS_BLOCK_S * spec.sample_rate_hz))
    starts = np.arange(0, len(samples), block)
    power = np.add.reduceat(np.square(samples), starts) / block if len(starts) else np.zeros(1)
    loudest_dbfs = 10 * np.log10(max(float(power.max()), 1e-20))
    if not spec.silence_dbfs <= loudest_dbfs < np.inf:  # neither NaN nor infinity is a sound
        raise SilentAudio(f"the loudest 50 ms reach {loudest_dbfs:.0f} dBFS; music needs {spec.silence_dbfs:.0f}")
