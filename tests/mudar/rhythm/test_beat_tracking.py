"""Tempo, beats and tempogram: of clicks and songs whose beats are known, by the naive way, beside librosa's beats."""

from __future__ import annotations

import math

import librosa
import mir_eval
import numpy as np
import pytest

from mudar.features.envelope import latency_s
from mudar.features.mel import onset_log_mel
from mudar.features.onset import superflux
from mudar.records import Array
from mudar.rhythm.beat_tracking import Beats, beat_curve, downbeats, tempi_bpm, tempogram, track_music_beats
from mudar.spec import AudioSpec
from training.data.synthetic.music.music import make_song, play, song_grid

SPEC = AudioSpec()


def envelope_of(events_s: Array, heights: Array, duration_s: float) -> Array:
    """An envelope with a bump of 1.5 frames at each event, above a little noise."""
    frame = np.arange(int(duration_s * SPEC.frame_rate_hz))
    at = (events_s + latency_s(SPEC)) * SPEC.frame_rate_hz
    bumps = heights[:, None] * np.exp(-0.5 * ((frame - at[:, None]) / 1.5) ** 2)
    noise = 0.02 * np.random.default_rng(0).random(len(frame))
    return np.asarray(bumps.max(axis=0) + noise, np.float32)


@pytest.mark.parametrize("bpm", [75.0, 92.5, 120.0, 128.0, 151.0])
def test_a_metronome(bpm: float) -> None:
    known_s = np.arange(0.33, 20, 60 / bpm)
    tracked = track_music_beats(envelope_of(known_s, np.ones(len(known_s)), 20.5), SPEC)
    assert tracked.tempo_bpm == pytest.approx(bpm, rel=0.003)
    np.testing.assert_allclose(tracked.times_s, known_s, atol=0.005)
    assert tracked.alternatives[0][0] == pytest.approx(tracked.tempo_bpm)
    factors = [round(tempo / tracked.tempo_bpm, 3) for tempo, _ in tracked.alternatives]
    assert set(factors) <= {1.0, 0.5, 2.0}
    weights = [weight for _, weight in tracked.alternatives]
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)


def test_beats_follow_a_tempo_that_drifts() -> None:
    steps = 0.5 * (1 + 0.04 * np.sin(np.arange(40) / 6))
    known_s = 0.4 + np.concatenate([[0], np.cumsum(steps)])
    tracked = track_music_beats(envelope_of(known_s, np.ones(len(known_s)), known_s[-1] + 0.5), SPEC)
    np.testing.assert_allclose(tracked.times_s, known_s, atol=0.01)


def test_a_tresillo_does_not_pass_for_a_faster_beat() -> None:
    """3 + 3 + 2 sixteenths over a plain beat: autocorrelation at one lag alone would say 3/2 of the tempo."""
    period_s = 60 / 96
    grid = np.arange(0.3, 24, period_s)
    tresillo = (grid[:-2:2, None] + period_s * np.array([0.75, 1.5])).ravel()
    events_s = np.concatenate([grid, tresillo])
    heights = np.concatenate([np.full(len(grid), 0.8), np.full(len(tresillo), 0.9)])
    tracked = track_music_beats(envelope_of(events_s, heights, 24.5), SPEC)
    assert tracked.tempo_bpm == pytest.approx(96, rel=0.01)
    assert mir_eval.beat.f_measure(grid, tracked.times_s.astype(float), f_measure_threshold=0.03) > 0.95


def test_the_accent_decides_between_beat_and_off_beat() -> None:
    grid = np.arange(0.3, 16, 0.5)
    hats_louder = envelope_of(np.concatenate([grid, grid + 0.25]), np.repeat([0.5, 1.0], len(grid)), 17)
    kicks = envelope_of(grid + 0.008, np.ones(len(grid)), 17)  # deep sounds swell a little later
    assert mir_eval.beat.f_measure(grid, track_music_beats(hats_louder, SPEC).times_s.astype(float)) < 0.1
    tracked = track_music_beats(hats_louder, SPEC, accent=kicks)
    np.testing.assert_allclose(tracked.times_s, grid, atol=0.004)  # and they land on the onsets, not on the swell


@pytest.mark.parametrize("frames", [0, 1, 50, 2000])
def test_without_repetition_there_are_no_beats(frames: int) -> None:
    tracked = track_music_beats(np.zeros(frames, np.float32), SPEC)
    assert tracked.times_s.shape == (0,)
    assert tracked.tempo_bpm == 0
    assert downbeats([np.zeros(frames, np.float32)], tracked, SPEC).shape == (0,)
    assert beat_curve(tracked, SPEC, frames).shape == (frames,)
    assert tempogram(np.zeros(frames, np.float32), SPEC).shape == (frames, SPEC.tempogram_bins)


def test_silence_before_and_after_holds_no_beats() -> None:
    known_s = np.arange(5.0, 15, 0.5)
    tracked = track_music_beats(envelope_of(known_s, np.ones(len(known_s)), 20), SPEC)
    np.testing.assert_allclose(tracked.times_s, known_s, atol=0.005)


@pytest.mark.parametrize("first", range(4))
def test_downbeats_begin_with_the_loudest_of_four(first: int) -> None:
    grid = np.arange(0.3, 16, 0.5)
    heights = np.full(len(grid), 0.6)
    heights[first::4] = 1.0
    envelope = envelope_of(grid, heights, 17)
    tracked = track_music_beats(envelope, SPEC)
    np.testing.assert_allclose(downbeats([envelope] * 3, tracked, SPEC), grid[first::4], atol=0.005)


@pytest.mark.parametrize("first", range(3))
def test_a_waltz_has_bars_of_three(first: int) -> None:
    grid = np.arange(0.3, 20, 0.6)
    heights = np.full(len(grid), 0.6)
    heights[first::3] = 1.0
    envelope = envelope_of(grid, heights, 21)
    tracked = track_music_beats(envelope, SPEC)
    np.testing.assert_allclose(downbeats([envelope] * 3, tracked, SPEC), grid[first::3], atol=0.005)


def test_beat_curve_peaks_at_the_beats() -> None:
    tracked = Beats(np.array([0.5, 1.0, 3.99], np.float32), 120.0, ())
    curve = beat_curve(tracked, SPEC, 480)
    frame = np.rint((tracked.times_s + latency_s(SPEC)) * SPEC.frame_rate_hz).astype(int)
    assert (curve[frame[frame < 480]] > 0.97).all()
    assert curve[150:170].max() < 1e-3 or curve[90:110].max() < 1e-3
    assert curve.max() <= 1


def naive_autocorrelation(envelope: Array, frame: int, window: int, lags: list[int]) -> list[float]:
    """Of the Hann window around the frame, silence beyond the ends, as a share of lag 0."""
    level = float(np.mean(envelope, dtype=np.float64))
    piece = []
    for n in range(window):
        t = frame - window // 2 + n
        inside = float(envelope[t]) - level if 0 <= t < len(envelope) else 0.0
        piece.append(inside * (0.5 - 0.5 * math.cos(2 * math.pi * n / window)))
    power = sum(value * value for value in piece)
    return [sum(piece[n] * piece[n + lag] for n in range(window - lag)) / power for lag in lags]


def test_tempogram_is_the_naive_autocorrelation() -> None:
    grid = np.arange(0.3, 12, 0.45)
    envelope = envelope_of(grid, np.ones(len(grid)), 12.5)
    tracked = tempogram(envelope, SPEC)
    for frame in (0, 600, 1200):  # computed every 12 frames, between them interpolated
        for column, bpm in list(enumerate(tempi_bpm(SPEC)))[::3]:
            lag = 60 * 120 / bpm
            low, high = naive_autocorrelation(envelope, frame, 960, [math.floor(lag), math.floor(lag) + 1])
            expected = max(0.0, low + (high - low) * (lag - math.floor(lag)))
            assert tracked[frame, column] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(tracked[606], (tracked[600] + tracked[612]) / 2, atol=1e-6)
    assert tracked.min() >= 0
    assert tracked.max() <= 1 + 1e-5
    best = tempi_bpm(SPEC)[tracked[600].argmax()]
    assert min(abs(best - 60 / 0.45 / n) / best for n in (1, 2, 3)) < 0.04


@pytest.mark.slow
def test_beats_of_songs_are_better_than_librosas() -> None:
    """The reason for not calling librosa.beat: were it as good, fed with either of our curves, this would fail."""
    ours, librosas_envelope, librosas_swell = [], [], []
    for seed in range(4):
        song = make_song(seed)
        grid = song_grid(song, 15.0)
        flux = superflux(onset_log_mel(play(song, grid, 15.0, SPEC.sample_rate_hz).samples, SPEC), SPEC)
        known_s = np.array([s for s in grid.beats_s if 0 <= s < 15])
        tracked = track_music_beats(flux.envelope, SPEC, flux.swell)
        ours.append(mir_eval.beat.f_measure(known_s, tracked.times_s.astype(float)))
        for curve, score in ((flux.envelope, librosas_envelope), (flux.swell, librosas_swell)):
            _, frames = librosa.beat.beat_track(
                onset_envelope=curve, sr=SPEC.sample_rate_hz, hop_length=SPEC.hop_samples, units="frames",
                start_bpm=SPEC.start_bpm, tightness=SPEC.tightness,
            )  # fmt: skip
            score.append(mir_eval.beat.f_measure(known_s, frames / SPEC.frame_rate_hz - latency_s(SPEC)))
    assert np.mean(ours) > 0.9
    assert np.mean(ours) > np.mean(librosas_envelope) + 0.1
    assert np.mean(ours) > np.mean(librosas_swell) + 0.05
