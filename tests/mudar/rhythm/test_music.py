"""The whole of a song's features: click track by hand, the encoder's input, silence, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mudar.errors import SilentAudio
from mudar.records import Array
from mudar.rhythm.music import model_input, music_features, require_sound
from mudar.spec import AudioSpec, paper

SPEC = AudioSpec()


def click_track(
    spec: AudioSpec, bpm: float = 120.0, seconds: float = 12.0, first_s: float = 0.2
) -> tuple[Array, Array]:
    """Click times in seconds and the sound: every fourth click is a thump of the bass."""
    clicks_s = np.arange(first_s, seconds - 0.1, 60 / bpm)
    samples = 1e-3 * np.random.default_rng(0).standard_normal(int(seconds * spec.sample_rate_hz))
    time_s = np.arange(int(0.3 * spec.sample_rate_hz)) / spec.sample_rate_hz
    for index, at in enumerate(np.rint(clicks_s * spec.sample_rate_hz).astype(int)):
        samples[at : at + len(time_s)] += 0.4 * np.sin(2 * np.pi * 1000 * time_s) * np.exp(-time_s / 0.01)
        if index % 4 == 0:
            samples[at : at + len(time_s)] += 0.4 * np.sin(2 * np.pi * 70 * time_s) * np.exp(-time_s / 0.04)
    return clicks_s, samples.astype(np.float32)


@pytest.mark.parametrize("spec", [pytest.param(SPEC, id="ours"), pytest.param(paper().audio, id="paper")])
def test_a_click_track_by_hand(spec: AudioSpec) -> None:
    clicks_s, samples = click_track(spec)
    features = music_features(samples, spec)
    np.testing.assert_allclose(features.onset_times_s, clicks_s, atol=0.010)
    np.testing.assert_allclose(features.beats.times_s, clicks_s, atol=0.010)
    np.testing.assert_allclose(features.downbeats_s, clicks_s[::4], atol=0.010)
    assert features.beats.tempo_bpm == pytest.approx(120, rel=0.005)
    assert features.duration_s == pytest.approx(12)
    assert ((features.onset_strengths > 0) & (features.onset_strengths <= 1)).all()


@pytest.mark.parametrize("lead_ms", [0, 5, 30])
def test_a_beat_on_the_first_sample_is_not_lost(lead_ms: int) -> None:
    samples = np.zeros(12 * SPEC.sample_rate_hz, np.float32)
    kick = np.sin(2 * np.pi * 60 * np.arange(1600) / SPEC.sample_rate_hz) * np.exp(-np.arange(1600) / 300)
    beats_s = np.arange(0, 11.5, 0.5)
    for beat_s in beats_s:
        first = round(beat_s * SPEC.sample_rate_hz)
        samples[first : first + 1600] += kick
    lead = np.zeros(lead_ms * SPEC.sample_rate_hz // 1000, np.float32)
    features = music_features(np.concatenate([lead, samples]), SPEC)
    np.testing.assert_allclose(features.beats.times_s - lead_ms / 1000, beats_s, atol=0.015)
    assert abs(features.onset_times_s[0] - lead_ms / 1000) < 0.015


def test_model_input_is_the_four_parts_side_by_side() -> None:
    features = music_features(click_track(SPEC)[1], SPEC)
    rows = model_input(features)
    assert rows.shape == (1 + 12 * 120, SPEC.input_dim) == (1441, 80 + 1 + 1 + 46)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[:, :80], features.log_mel / 40 + 1, atol=1e-5)
    assert rows[:, 80].max() == 1
    np.testing.assert_array_equal(rows[:, 81], features.beat_curve)
    np.testing.assert_array_equal(rows[:, 82:], features.tempogram)
    assert rows.min() >= -1
    assert rows.max() <= 1 + 1e-5


def test_windows_of_the_model_input_and_the_silence_around_it() -> None:
    features = music_features(click_track(SPEC)[1], SPEC)
    rows = model_input(features)
    np.testing.assert_array_equal(model_input(features, 2.0, 8.0), rows[240 : 240 + 960])
    late, early = model_input(features, 8.0, 8.0), model_input(features, -1.0, 8.0)
    assert late.shape == early.shape == (960, SPEC.input_dim)
    np.testing.assert_array_equal(late[: 1441 - 960], rows[960:])
    np.testing.assert_array_equal(early[120:], rows[:840])
    for silence in (late[500:], early[:120]):
        assert (silence[:, :80] == -1).all()
        assert (silence[:, 80:] == 0).all()


@pytest.mark.parametrize(
    "samples", [np.zeros(24_000), np.zeros(0), np.full(24_000, 5e-4), np.full(24_000, np.nan), np.full(24_000, np.inf)]
)
def test_silence_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(SilentAudio, match="dBFS"):
        music_features(samples.astype(np.float32), SPEC)


def test_one_short_sound_is_enough() -> None:
    samples = np.zeros(240_000, np.float32)
    samples[100_000:101_200] = 0.01
    require_sound(samples, SPEC)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_ten_minutes_stay_within_their_memory_and_load_no_more_than_they_use() -> None:
    """In a process of its own. Counted from a short song on: what Python, librosa and its compiler take is not ours.

    The whole complex STFT alone would be 295 MB; the song is 58, its features 55.
    """
    code = (
        "import re, sys, numpy as np\n"
        "from mudar.rhythm.music import music_features\n"
        "from mudar.spec import AudioSpec\n"
        "def peak_mb():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) / 1024\n"
        "rng = np.random.default_rng(0)\n"
        "def song(seconds):\n"
        "    samples = rng.standard_normal(seconds * 24000, dtype=np.float32)\n"
        "    samples.reshape(seconds * 4, 6000)[:] *= 0.1 * rng.random((seconds * 4, 1), dtype=np.float32)\n"
        "    return samples\n"
        "music_features(song(5), AudioSpec())\n"
        "before = peak_mb()\n"
        "features = music_features(song(600), AudioSpec())\n"
        "print(peak_mb() - before)\n"
        "print(sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    grown_mb, loaded = done.stdout.splitlines()
    assert float(grown_mb) < 200  # 107 here
    for unused in ("librosa.beat", "librosa.decompose", "librosa.segment", "sklearn", "matplotlib", "torch"):
        assert f"'{unused}'" not in loaded


@pytest.mark.slow
def test_importing_features_loads_neither_numba_nor_torch() -> None:
    """librosa's parts come with the first song: whoever sees only dances does not wait for them."""
    code = "import sys, mudar.rhythm.music, mudar.features.flow, mudar.features.hoof\nprint(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "'mudar.rhythm.beat_tracking'" in done.stdout
    for heavy in ("librosa.core", "librosa.onset", "scipy.signal", "torch"):
        assert f"'{heavy}'" not in done.stdout
