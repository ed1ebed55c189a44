"""Onsets: envelope and peaks against loops written from their definitions, times against sounds of known onsets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mudar.features import onset
from mudar.features.envelope import curve_at, latency_s, parabolic_offset, scaled
from mudar.features.onset import onset_envelope, pick_onsets, superflux, times_s
from mudar.records import Array
from mudar.spec import AudioSpec, paper

SPECS = [pytest.param(AudioSpec(), id="ours"), pytest.param(paper().audio, id="paper")]


def strike(kind: str, spec: AudioSpec, rng: np.random.Generator) -> Array:
    """A click of 1 kHz, a burst of noise, or a note that swells for so many milliseconds."""
    time_s = np.arange(int(0.4 * spec.sample_rate_hz)) / spec.sample_rate_hz
    if kind == "click":
        return np.asarray(np.sin(2 * np.pi * 1000 * time_s) * np.exp(-time_s / 0.005), np.float32)
    if kind == "noise":
        return np.asarray(0.5 * rng.standard_normal(len(time_s)) * np.exp(-time_s / 0.03), np.float32)
    attack_s, pitch_hz = float(kind.removeprefix("note")) / 1000, 220 * 2 ** (rng.integers(0, 24) / 12)
    partials = sum(np.sin(2 * np.pi * pitch_hz * n * time_s) / n for n in range(1, 8))
    return np.asarray(0.3 * np.minimum(1, time_s / attack_s) * np.exp(-time_s / 0.3) * partials, np.float32)


def performance(kind: str, spec: AudioSpec, noise_db: float = -30.0, count: int = 24) -> tuple[Array, Array]:
    """Onset times in seconds, off any grid, and the sound."""
    rng = np.random.default_rng(0)
    onsets_s = 0.7 + np.arange(count) * 0.5 + rng.uniform(-0.05, 0.05, count)
    samples = rng.standard_normal(int((onsets_s[-1] + 1) * spec.sample_rate_hz)) * 0.3 * 10 ** (noise_db / 20)
    for index, at in enumerate(np.rint(onsets_s * spec.sample_rate_hz).astype(int)):
        sound = strike(kind, spec, rng)
        samples[at : at + len(sound)] += sound
        onsets_s[index] = at / spec.sample_rate_hz
    return onsets_s, samples.astype(np.float32)


def naive_flux(mel_db: Array, lag: int, max_size: int, bass_bands: int) -> tuple[list[float], list[float], list[float]]:
    """Equation (2) after Boeck and Widmer (2013), band by band; and the rise of plain amplitudes."""
    frames, bands = mel_db.shape
    envelope, bass, swell = [0.0] * frames, [0.0] * frames, [0.0] * frames
    for t in range(lag, frames):
        for m in range(bands):
            nearest = [mel_db[t - lag, n] for n in range(bands) if -(max_size // 2) <= n - m <= (max_size - 1) // 2]
            rise = max(0.0, float(mel_db[t, m]) - float(max(nearest)))
            envelope[t] += rise / bands
            bass[t] += rise / bass_bands if m < bass_bands else 0.0
            swell[t] += max(0.0, 10 ** (float(mel_db[t, m]) / 20) - 10 ** (float(mel_db[t - lag, m]) / 20)) / bands
    return envelope, bass, swell


@pytest.mark.parametrize(("lag", "max_size", "frames"), [(3, 3, 47), (2, 3, 32), (1, 1, 33), (5, 4, 21), (3, 5, 3)])
def test_flux_is_the_naive_loops_across_blocks(
    lag: int, max_size: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onset, "_BLOCK_FRAMES", 16)
    spec = replace(AudioSpec(), onset_lag_frames=lag, onset_max_size=max_size, onset_n_mels=60)
    mel_db = np.random.default_rng(lag).uniform(-80, 0, (frames, 60)).astype(np.float32)
    bass_bands = 2  # of 60 from 30 Hz to 11 kHz on Slaney's scale: centred on 84 and 138 Hz, the next on 192
    expected = naive_flux(mel_db, lag, max_size, bass_bands)
    for curve, naive in zip(superflux(mel_db, spec), expected, strict=True):
        np.testing.assert_allclose(curve, naive, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("kind", "tolerance_ms"), [("click", 6), ("noise", 6), ("note1", 6), ("note10", 8)])
def test_onsets_are_all_found_without_constant_lag(kind: str, tolerance_ms: float, spec: AudioSpec) -> None:
    known_s, samples = performance(kind, spec)
    onsets_s, strengths = pick_onsets(onset_envelope(samples, spec), spec)
    nearest = np.abs(onsets_s[:, None] - known_s).argmin(axis=0)
    error_ms = (onsets_s[nearest] - known_s) * 1000
    assert np.abs(error_ms).max() < 20
    assert abs(np.median(error_ms)) < tolerance_ms
    extra = np.delete(strengths, nearest)
    assert extra.max(initial=0) < 0.4  # noise and beating partials give weak ones at most


def test_clicks_at_120_bpm_land_within_10_ms() -> None:
    spec = AudioSpec()
    known_s = 0.25 + 0.5 * np.arange(16)
    samples = np.zeros(int(8.5 * spec.sample_rate_hz), np.float32)
    for at in np.rint(known_s * spec.sample_rate_hz).astype(int):
        samples[at : at + 480] += np.sin(np.arange(480) * 2 * np.pi * 1000 / spec.sample_rate_hz)
    onsets_s, strengths = pick_onsets(onset_envelope(samples, spec), spec)
    np.testing.assert_allclose(onsets_s, known_s, atol=0.010)
    assert (strengths > 0.9).all()


def test_one_loud_bang_hides_nothing() -> None:
    spec = AudioSpec()
    known_s, samples = performance("note1", spec)
    bang = round(4.0 * spec.sample_rate_hz)
    samples *= np.float32(0.03)
    samples[bang : bang + 2000] += np.random.default_rng(1).uniform(-1, 1, 2000).astype(np.float32)
    onsets_s, strengths = pick_onsets(onset_envelope(samples, spec), spec)
    assert all(np.abs(onsets_s - known).min() < 0.03 for known in known_s)
    assert strengths.max() == 1
    assert strengths.min() >= spec.peak_delta


def by_hand(spikes: dict[int, float], frames: int = 400) -> Array:
    envelope = np.zeros(frames, np.float32)
    for frame, height in spikes.items():
        envelope[frame] = height
    return envelope


def test_peaks_by_hand() -> None:
    """120 frames a second: look 4 frames to either side for a larger value, wait 4 frames, exceed the mean by .09."""
    spec = AudioSpec(peak_pre_max_s=4 / 120, peak_post_max_s=4 / 120, peak_wait_s=4 / 120, peak_delta=0.09)
    envelope = by_hand({50: 1.0, 53: 0.9, 60: 0.5, 100: 1.0, 104: 1.0, 200: 0.05, 230: 0.3, 260: 1.0}, frames=480)
    onsets_s, strengths = pick_onsets(envelope, spec)
    # 53 lies beside a larger one, 104 is as large as 100 but too soon after it, 200 is too small.
    np.testing.assert_allclose(onsets_s, times_s(np.array([50, 60, 100, 230, 260]), spec), atol=1e-6)
    np.testing.assert_allclose(strengths, [1.0, 0.5, 1.0, 0.3, 1.0], atol=1e-6)


def naive_peaks(
    envelope: Array, curve: Array, before: int, after: int, around: int, delta: float, wait: int
) -> list[int]:
    """Each frame in turn: a summit of the envelope, high above the scaled curve's mean, not too soon."""
    peaks: list[int] = []
    for t in range(len(envelope)):
        summit = envelope[t] == max(envelope[max(0, t - before) : t + after + 1])
        mean = sum(map(float, curve[max(0, t - around) : t + around + 1])) / len(
            curve[max(0, t - around) : t + around + 1]
        )
        if summit and curve[t] >= mean + delta and (not peaks or t - peaks[-1] > wait):
            peaks.append(t)
    return peaks


@pytest.mark.parametrize("seed", range(3))
def test_peaks_are_the_naive_loops(seed: int) -> None:
    spec, rng = AudioSpec(), np.random.default_rng(seed)
    strikes = rng.gamma(0.3, 1.0, 900)
    strikes[20:240:30] += rng.uniform(20, 30, 8)  # the loudest two seconds, cut off at 1 in the scaled curve
    envelope = np.convolve(strikes, [0.2, 0.8, 1.0, 0.6, 0.2], "same").astype(np.float32)
    expected = naive_peaks(envelope, scaled(envelope, spec), 4, 4, 12, 0.09, 4)  # of 120 frames a second
    onsets_s, strengths = pick_onsets(envelope, spec)
    between = expected + parabolic_offset(envelope, np.array(expected))
    np.testing.assert_allclose(onsets_s, times_s(between, spec), atol=1e-6)
    assert (scaled(envelope, spec)[expected] == 1).sum() > 3  # where the scaled curve is cut off, the summit counts
    np.testing.assert_array_equal(strengths, scaled(envelope, spec)[expected])


def test_a_summit_between_frames_is_found_between_them() -> None:
    spec = AudioSpec()
    frame = np.arange(300)
    envelope = np.exp(-0.5 * ((frame - 150.3) / 2) ** 2).astype(np.float32)
    onsets_s, _ = pick_onsets(envelope, spec)
    np.testing.assert_allclose(onsets_s, [150.3 / 120 - latency_s(spec)], atol=0.05 / 120)


def test_nothing_is_found_in_nothing() -> None:
    spec = AudioSpec()
    for frames in (0, 1, 500):
        onsets_s, strengths = pick_onsets(np.zeros(frames, np.float32), spec)
        assert len(onsets_s) == len(strengths) == 0


@pytest.mark.parametrize("fps", [8.0, 15.0, 29.97, 60.0])
def test_curve_at_a_video_rate_puts_each_onset_into_its_frame(fps: float) -> None:
    spec = AudioSpec()
    events_s = np.array([0.51, 1.77, 3.02])
    envelope = by_hand({round((s + latency_s(spec)) * 120): 1.0 for s in events_s}, frames=600)
    curve = curve_at(envelope, spec, fps, 40 if fps < 10 else int(5 * fps))
    np.testing.assert_allclose(np.flatnonzero(curve), np.rint(np.rint((events_s) * 120) / 120 * fps), atol=0.51)
    assert curve.max() == 1


def test_curve_beyond_the_sound_is_zero() -> None:
    spec = AudioSpec()
    curve = curve_at(np.ones(120, np.float32), spec, 15.0, 60)
    assert curve.shape == (60,)
    assert (curve[:14] == 1).all()
    assert (curve[17:] == 0).all()
    assert curve_at(np.zeros(0, np.float32), spec, 15.0, 3).tolist() == [0, 0, 0]


def test_other_windows_hops_and_lags_leave_no_more_lag() -> None:
    """The correction follows from window and lag, so another spec needs no new number."""
    spec = replace(AudioSpec(), n_fft=2048, hop_samples=240, onset_lag_frames=2)
    known_s, samples = performance("note1", spec)
    onsets_s, _ = pick_onsets(onset_envelope(samples, spec), spec)
    nearest = np.abs(onsets_s[:, None] - known_s).argmin(axis=0)
    assert abs(np.median(onsets_s[nearest] - known_s)) < 0.008
