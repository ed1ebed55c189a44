"""Tempo and beats of curves whose tempo is known."""

import math

import numpy as np
import pytest

from mudar.rhythm.tempo import bar_starts, beat_chain, tempo, track_beats

FPS = 15.0


def pulses(bpm: float, duration_s: float = 30.0, phase: float = 0.3, noise: float = 0.1) -> np.ndarray:
    """A curve with a bell on each beat, and noise."""
    beat = np.arange(round(duration_s * FPS)) / FPS * bpm / 60 + phase
    away_s = np.abs(beat - np.rint(beat)) * 60 / bpm
    return np.exp(-0.5 * (away_s / 0.05) ** 2) + noise * np.random.default_rng(0).random(len(beat))


@pytest.mark.parametrize("bpm", range(60, 181, 12))
def test_tempo_of_pulses(bpm: int) -> None:
    best, alternatives = tempo(pulses(bpm), FPS)
    assert best == pytest.approx(bpm, rel=0.02)
    assert alternatives[0][0] == best
    assert sorted(other / best for other, _ in alternatives) == pytest.approx([0.5, 1, 2])
    assert sum(weight for _, weight in alternatives) == pytest.approx(1)
    weights = [weight for _, weight in alternatives]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("bpm", [72, 96, 128])
def test_tempo_of_a_sway(bpm: int) -> None:
    curve = 0.5 + 0.5 * np.sin(2 * np.pi * bpm / 60 * np.arange(300) / FPS)
    assert tempo(curve, FPS)[0] == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("duration_s", [3.0, 6.0, 60.0])
def test_tempo_of_short_and_long(duration_s: float) -> None:
    assert tempo(pulses(120, duration_s), FPS)[0] == pytest.approx(120, rel=0.04)


def test_accents_do_not_change_the_tempo() -> None:
    curve = pulses(120) * np.where(np.arange(450) // 15 % 2, 1.0, 0.6)
    assert tempo(curve, FPS)[0] == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize("curve", [np.zeros(100), np.ones(100), np.zeros(0), np.zeros(1), np.array([0.0, 1.0])])
def test_nothing_that_repeats_has_no_tempo(curve: np.ndarray) -> None:
    assert tempo(curve, FPS) == (0.0, ())
    assert len(track_beats(curve, FPS, 0.0)) == 0


@pytest.mark.parametrize("bpm", [66, 100, 140, 176])
def test_beats_lie_on_the_pulses(bpm: int) -> None:
    beats_s = track_beats(pulses(bpm), FPS, bpm)
    true_s = (np.arange(-1, 200) + 0.7) * 60 / bpm
    assert np.quantile(np.abs(beats_s[:, None] - true_s).min(axis=1), 0.9) < 0.03
    assert len(beats_s) == pytest.approx(30 * bpm / 60, abs=2)


def test_beats_bridge_a_pause() -> None:
    curve = pulses(120)
    curve[150:210] = 0
    beats_s = track_beats(curve, FPS, 120)
    assert np.diff(beats_s).max() < 0.75


def test_beats_follow_a_drift() -> None:
    beats_of_t = lambda t: 1.8 * t + 0.005 * t**2  # noqa: E731  108 to 126 bpm in 30 s
    beat = beats_of_t(np.arange(450) / FPS)
    curve = np.exp(-0.5 * (np.abs(beat - np.rint(beat)) * 0.53 / 0.05) ** 2)
    beats = beats_of_t(track_beats(curve, FPS, 117).astype(np.float64))
    assert np.median(np.abs(beats - np.rint(beats))) < 0.06


def test_bars_begin_where_the_downbeat_curve_is_high() -> None:
    beats_s = (0.25 + 0.5 * np.arange(32)).astype(np.float32)
    curve = np.zeros(300)
    curve[np.rint(beats_s[2::4] * FPS).astype(int)] = 1.0
    np.testing.assert_array_equal(bar_starts(beats_s, curve, FPS), beats_s[2::4])
    assert len(bar_starts(beats_s[:3], curve, FPS)) == 0


def naive_chain(score: np.ndarray, period: float, tightness: float) -> list[int]:
    """The recursion of Ellis (2007), frame by frame and step by step."""
    total, back = list(score), [-1] * len(score)
    for frame in range(len(score)):
        best = 0.0 if frame <= round(2 * period) else -math.inf  # it may begin in the first two periods
        for step in range(max(1, round(period / 2)), round(2 * period) + 1):
            if frame - step >= 0:
                value = total[frame - step] - tightness * math.log(step / period) ** 2
                if value > best:
                    best, back[frame] = value, frame - step
        total[frame] += best
    tail = max(0, len(score) - round(period))
    frame, chain = tail + int(np.argmax(total[tail:])), []
    while frame >= 0:
        chain.append(frame)
        frame = back[frame]
    return chain[::-1]


@pytest.mark.parametrize(("seed", "frames", "period"), [(0, 400, 20.3), (1, 333, 31.0), (2, 57, 25.7), (3, 10, 12.0)])
def test_the_chain_of_beats_is_the_naive_recursions(seed: int, frames: int, period: float) -> None:
    score = np.random.default_rng(seed).gamma(0.3, 2.0, frames)
    assert beat_chain(score, period, 20.0).tolist() == naive_chain(score, period, 20.0)
