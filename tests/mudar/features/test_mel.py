"""Mel spectrograms against librosa's, and against themselves in other block sizes."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest

from mudar.features.mel import BLOCK_FRAMES, both_log_mels, frame_count, log_mel, mel_bands, onset_bands, power_blocks
from mudar.records import Array
from mudar.spec import AudioSpec, paper

SPECS = [pytest.param(AudioSpec(), id="ours"), pytest.param(paper().audio, id="paper")]


def sound(spec: AudioSpec, seconds: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * spec.sample_rate_hz)) / spec.sample_rate_hz
    sweep = np.sin(2 * np.pi * (200 + 400 * time_s) * time_s) * (1 + np.sin(2 * np.pi * 2 * time_s))
    return np.asarray(0.2 * sweep + 0.01 * rng.standard_normal(len(time_s)), np.float32)


def librosa_mel_db(samples: Array, spec: AudioSpec, n_mels: int) -> Array:
    power = librosa.feature.melspectrogram(
        y=samples, sr=spec.sample_rate_hz, n_fft=spec.n_fft, hop_length=spec.hop_samples, window=spec.window,
        center=True, pad_mode="constant", power=2.0, n_mels=n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz,
    )  # fmt: skip
    return np.asarray(librosa.power_to_db(power, ref=np.max, amin=1e-10, top_db=80.0).T, np.float32)


@pytest.mark.parametrize("spec", SPECS)
def test_log_mel_equals_librosas(spec: AudioSpec) -> None:
    samples = sound(spec, 6.3)  # more than one block
    found = log_mel(samples, spec)
    assert found.shape == (frame_count(len(samples), spec), spec.n_mels)
    assert found.dtype == np.float32
    assert len(found) > BLOCK_FRAMES or spec != AudioSpec()
    np.testing.assert_allclose(found, librosa_mel_db(samples, spec, spec.n_mels), atol=0.01)
    model, onset = both_log_mels(samples, spec)
    np.testing.assert_allclose(model, found, atol=1e-3)
    np.testing.assert_allclose(onset, librosa_mel_db(samples, spec, spec.onset_n_mels), atol=0.01)


@pytest.mark.parametrize("spec", SPECS)
def test_bands_equal_librosas_and_none_is_empty(spec: AudioSpec) -> None:
    for bands, n_mels in ((onset_bands(spec), spec.onset_n_mels), (mel_bands(22_050, 2048, 40, 0.0, 11_025.0), 40)):
        rate, n_fft = (22_050, 2048) if n_mels == 40 else (spec.sample_rate_hz, spec.n_fft)
        low, high = (0.0, 11_025.0) if n_mels == 40 else (spec.fmin_hz, spec.fmax_hz)
        expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high, htk=False)
        np.testing.assert_allclose(bands.T, expected, atol=1e-7)
        assert (bands.max(axis=0) > 0).all()


@pytest.mark.parametrize("block_frames", [1, 7, 64])
def test_blocks_of_any_size_join_to_the_whole(block_frames: int) -> None:
    spec = AudioSpec()
    samples = sound(spec, 1.37)
    ((start_frame, whole),) = power_blocks(samples, spec, block_frames=10_000)
    pieces = list(power_blocks(samples, spec, block_frames))
    assert start_frame == 0
    assert [start for start, _ in pieces] == list(range(0, len(whole), block_frames))
    np.testing.assert_allclose(np.concatenate([piece for _, piece in pieces]), whole, rtol=1e-4, atol=1e-6)


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
    with pytest.raises(ValueError, match="hamming"):
        log_mel(sound(AudioSpec(), 0.5), replace(AudioSpec(), window="kaiser"))
