"""The sampling rules (16) and (17), against hand-worked cases and against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.pairs import avc_allowed, avts_allowed, draw_avts_shift, onset_frames, rhythm_distance


def test_onsets_fall_into_their_frames() -> None:
    assert onset_frames(np.array([0.1, 1.0, 1.49, 3.0]), 1.0, 4, 4.0).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_16_by_hand() -> None:
    one, other = np.array([1, 0, 1, 0, 1.0]), np.array([0, 1, 1, 0, 0.0])  # differ in 3 of 5 frames
    assert rhythm_distance(one, other, 0.5) == pytest.approx(3 - 2.5)
    assert rhythm_distance(one, one, 0.1) == pytest.approx(-0.5)


def test_16_forbids_the_same_song_and_the_same_rhythm() -> None:
    onsets = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]], np.float32)
    allowed = avc_allowed(onsets, ["a", "b", "c", "a"], 0.2)
    assert allowed.tolist() == [
        [False, True, False, False],  # c has the same onsets, the last is the same song
        [True, False, True, False],
        [False, True, False, True],
        [False, False, True, False],
    ]


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_16_agrees_with_its_formula_pair_by_pair(seed: int, alpha: float) -> None:
    onsets = (np.random.default_rng(seed).uniform(size=(4, 12)) < 0.3).astype(np.float32)
    allowed = avc_allowed(onsets, list("abcd"), alpha)
    for i in range(4):
        for j in range(4):
            assert allowed[i, j] == (i != j and rhythm_distance(onsets[i], onsets[j], alpha) > 0)


def test_17_by_hand() -> None:
    shifts = np.array([0.0, 2.0, 3.75, 5.5, 7.5, 9.4])  # 15 fps, 120 bpm: an eighth is 3.75 frames
    assert avts_allowed(shifts, 15.0, 120.0).tolist() == [False, True, False, True, False, True]


@given(st.integers(0, 10_000), st.floats(60.0, 180.0))
def test_17_a_drawn_shift_is_never_an_eighth_note(seed: int, tempo_bpm: float) -> None:
    shift = draw_avts_shift(np.random.default_rng(seed), 15.0, tempo_bpm, -20, 20)
    assert shift is not None
    eighth = 15.0 * 30.0 / tempo_bpm
    assert min(abs(shift - n * eighth) for n in range(-20, 21)) >= min(0.75, 0.4 * eighth)


def test_17_no_shift_left() -> None:
    assert draw_avts_shift(np.random.default_rng(0), 15.0, 120.0, 0, 0) is None
