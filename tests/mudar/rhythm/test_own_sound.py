"""A clip's sound is trusted where the motion repeats with it, and not where it cannot be what is danced to."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.errors import OutOfRange
from mudar.records import Rhythm, SoundRhythm
from mudar.rhythm.annotation import resolve
from mudar.rhythm.own_sound import (
    LEAST_CONFIDENCE,
    SoundEvidence,
    beat_phase,
    sound_evidence,
    time_at_phase,
    with_sound,
)

FPS, RATE_HZ = 15.0, 100.0


def motion_on(beats_s: np.ndarray, seconds: float, noise: float = 0.5) -> np.ndarray:
    """Motion (T, 8) that repeats every four beats, with noise."""
    rng = np.random.default_rng(0)
    phase = beat_phase(np.arange(round(seconds * FPS)) / FPS, beats_s)
    angles = 2 * np.pi * phase[:, None] / 4 * np.array([1, 1, 2, 2, 4, 4, 4, 8])
    return np.cos(angles + np.arange(8)) + noise * rng.standard_normal((len(phase), 8))


def onsets_on(beats_s: np.ndarray, seconds: float) -> np.ndarray:
    """An onset envelope with a bump at each beat."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.exp(-0.5 * (np.abs(times[:, None] - beats_s[None]).min(axis=1) / 0.03) ** 2)


def sound(confidence: float = 0.9) -> SoundRhythm:
    beats = np.arange(0.2, 10, 0.5, dtype=np.float32)
    return SoundRhythm(beats, beats[::4], 120.0, confidence, "because")


def picture() -> Rhythm:
    times = np.array([1.0, 2.0, 3.0], np.float32)
    return Rhythm(times, np.full(3, 0.3, np.float32), np.zeros(150, np.float32), FPS, 60.0, peaks_s=times)


def test_phase_and_time_are_each_others_inverse() -> None:
    beats = np.cumsum(np.random.default_rng(1).uniform(0.4, 0.6, 20))
    times = np.linspace(-1, 12, 50)
    np.testing.assert_allclose(time_at_phase(beat_phase(times, beats), beats), times, atol=1e-9)


def test_a_dance_speaks_for_its_own_song_and_not_for_another() -> None:
    own, other = np.arange(0.3, 20, 0.5), np.arange(0.1, 20, 0.43)
    motion = motion_on(own, 20)
    evidence = [
        sound_evidence(motion, FPS, onsets_on(beats, 20), RATE_HZ, beats, agreement=0.95) for beats in (own, other)
    ]
    assert evidence[0].motion > 8 > 2 > evidence[1].motion
    assert evidence[0].confidence > 0.9
    assert evidence[1].confidence < evidence[0].confidence / 2
    assert "goes with" in evidence[0].reason


def test_a_motion_that_repeats_at_another_tempo_speaks_against_a_sound() -> None:
    evidence = SoundEvidence(motion=-3.0, pulse=20.0, agreement=0.95)
    assert evidence.confidence < LEAST_CONFIDENCE
    assert "does not go" in evidence.reason


def test_sound_without_a_pulse_is_not_trusted() -> None:
    beats = np.arange(0.3, 20, 0.5)
    noise = np.random.default_rng(2).random(2000)
    evidence = sound_evidence(motion_on(beats, 20), FPS, noise, RATE_HZ, beats, agreement=0.3)
    assert evidence.confidence < LEAST_CONFIDENCE
    assert "no beats" in evidence.reason


def test_few_beats_are_no_evidence() -> None:
    beats = np.arange(0.3, 3, 0.5)
    assert sound_evidence(motion_on(beats, 3), FPS, onsets_on(beats, 3), RATE_HZ, beats, 1.0) == SoundEvidence(0, 0, 0)


def test_a_trusted_sound_gives_the_strokes_and_the_picture_can_be_had_back() -> None:
    rhythm = with_sound(picture(), sound())
    assert rhythm.source == "sound"
    assert rhythm.tempo_bpm == 120.0
    np.testing.assert_array_equal(rhythm.times_s, rhythm.beats_s)
    back = resolve(rhythm, "picture")
    assert (back.source, back.tempo_bpm, len(back.curve)) == ("picture", 60.0, 150)
    np.testing.assert_array_equal(back.times_s, picture().times_s)
    assert resolve(back, "sound").source == "sound"
    assert resolve(rhythm, "auto") is rhythm


def test_a_doubtful_sound_stays_beside_the_picture() -> None:
    rhythm = with_sound(picture(), sound(LEAST_CONFIDENCE / 2))
    assert rhythm.source == "picture"
    assert rhythm.sound is not None
    assert resolve(rhythm, "sound").source == "sound"


def test_where_every_stroke_is_sure_the_picture_is_kept() -> None:
    sure = Rhythm(np.arange(1, 9, dtype=np.float32), np.full(8, 0.9, np.float32), np.zeros(150, np.float32), FPS, 60.0)
    assert with_sound(sure, sound()).source == "picture"


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(OutOfRange, match="no sound with beats"):
        resolve(picture(), "sound")
    with pytest.raises(OutOfRange, match="no rhythm from"):
        resolve(picture(), "taste")
