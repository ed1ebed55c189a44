"""Mel spectrograms against sums written out from the definitions, and themselves in other block sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mudar.features.mel import (
    BLOCK_FRAMES,
    frame_count,
    log_mel,
    mel_bands,
    model_bands,
    onset_bands,
    onset_log_mel,
    power_blocks,
)
from mudar.records import Array
from mudar.spec import AudioSpec, paper

SPECS = [pytest.param(AudioSpec(), id="ours"), pytest.param(paper().audio, id="paper")]


def sound(spec: AudioSpec, seconds: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * spec.sample_rate_hz)) / spec.sample_rate_hz
    sweep = np.sin(2 * np.pi * (200 + 400 * time_s) * time_s) * (1 + np.sin(2 * np.pi * 2 * time_s))
    return np.asarray(0.2 * sweep + 0.01 * rng.standard_normal(len(time_s)), np.float32)


def slaney_hz(mel: float) -> float:
    """Slaney's Auditory Toolbox: 200/3 Hz a mel up to 1 kHz, from there 27 mels to a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def slaney_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def naive_bands(rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float) -> np.ndarray:
    """(F, n_mels) triangles whose area is 1 over frequency in Hz."""
    low, high = slaney_mel(fmin_hz), slaney_mel(fmax_hz)
    edge = [slaney_hz(low + (high - low) * i / (n_mels + 1)) for i in range(n_mels + 2)]
    bands = np.zeros((n_fft // 2 + 1, n_mels))
    for band in range(n_mels):
        left, centre, right = edge[band : band + 3]
        for k in range(n_fft // 2 + 1):
            hz = k * rate_hz / n_fft
            height = (hz - left) / (centre - left) if hz < centre else (right - hz) / (right - centre)
            bands[k, band] = max(0.0, height) * 2 / (right - left)
    return bands


def naive_mel_db(samples: Array, spec: AudioSpec, n_mels: int) -> np.ndarray:
    """Equation (1) frame by frame: each frequency is the sum of its products with the windowed samples."""
    n = np.arange(spec.n_fft)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * n / spec.n_fft)
    waves = np.exp(-2j * np.pi * np.outer(n, np.arange(spec.n_fft // 2 + 1)) / spec.n_fft)
    silence = np.zeros(spec.n_fft // 2)
    padded = np.concatenate([silence, samples, silence])
    starts = range(0, len(samples) + 1, spec.hop_samples)
    spectrum = np.array([padded[start : start + spec.n_fft] * hamming for start in starts]) @ waves
    bands = naive_bands(spec.sample_rate_hz, spec.n_fft, n_mels, spec.fmin_hz, spec.fmax_hz)
    power = np.abs(spectrum) ** 2 @ bands
    return 10 * np.log10(np.maximum(power / power.max(), 1e-8))


@pytest.mark.parametrize("spec", SPECS)
def test_log_mels_are_the_definition_across_blocks_and_edges(spec: AudioSpec) -> None:
    samples = sound(spec, 1.02 * BLOCK_FRAMES / spec.frame_rate_hz)
    for computed, n_mels in ((log_mel(samples, spec), spec.n_mels), (onset_log_mel(samples, spec), spec.onset_n_mels)):
        assert computed.shape == (frame_count(len(samples), spec), n_mels)
        assert computed.dtype == np.float32
        assert len(computed) > BLOCK_FRAMES
        np.testing.assert_allclose(computed, naive_mel_db(samples, spec, n_mels), atol=0.01)


@pytest.mark.parametrize("spec", SPECS)
def test_bands_are_slaneys_and_none_is_empty(spec: AudioSpec) -> None:
    rate, n_fft, low, high = spec.sample_rate_hz, spec.n_fft, spec.fmin_hz, spec.fmax_hz
    for bands in (model_bands(spec), onset_bands(spec)):
        np.testing.assert_allclose(bands, naive_bands(rate, n_fft, bands.shape[1], low, high), atol=1e-7)
        assert (bands.max(axis=0) > 0).all()
    np.testing.assert_allclose(
        mel_bands(22_050, 2048, 40, 0.0, 11_025.0), naive_bands(22_050, 2048, 40, 0.0, 11_025.0), atol=1e-7
    )


@pytest.mark.parametrize("block_frames", [1, 7, 64])
def test_blocks_of_any_size_join_to_the_whole(block_frames: int) -> None:
    spec = AudioSpec()
    samples = sound(spec, 1.37)
    ((start_frame, full),) = power_blocks(samples, spec, block_frames=10_000)
    pieces = list(power_blocks(samples, spec, block_frames))
    assert start_frame == 0
    assert [start for start, _ in pieces] == list(range(0, len(full), block_frames))
    np.testing.assert_allclose(np.concatenate([piece for _, piece in pieces]), full, rtol=1e-4, atol=1e-6)


def test_loudness_does_not_matter_and_silence_is_the_floor() -> None:
    spec = AudioSpec()
    samples = sound(spec, 1.0)
    np.testing.assert_allclose(log_mel(samples * np.float32(0.01), spec), log_mel(samples, spec), atol=0.01)
    assert (log_mel(np.zeros(24_000, np.float32), spec) == -80).all()


@pytest.mark.parametrize("samples", [0, 1, 199, 200, 1023])
def test_the_shortest_of_sounds_have_frames_too(samples: int) -> None:
    spec = replace(AudioSpec(), n_mels=20)
    assert log_mel(np.ones(samples, np.float32), spec).shape == (1 + samples // 200, 20)


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(ValueError, match="nonesuch"):
        log_mel(sound(AudioSpec(), 0.5), replace(AudioSpec(), window="nonesuch"))
