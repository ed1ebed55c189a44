"""The sampling rules (16) and (17), against hand-worked cases and against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.data.pairs import avc_allowed, avts_allowed, draw_avts_shifts, rhythm_distance


def test_16_by_hand() -> None:
    one, other = torch.tensor([[1, 0, 1, 0, 1.0]]), torch.tensor([[0, 1, 1, 0, 0.0]])  # differ in 3 of 5 frames
    assert float(rhythm_distance(one, other, 0.5)) == pytest.approx(3 - 2.5)
    assert float(rhythm_distance(one, one, 0.1)) == pytest.approx(-0.5)


def test_16_forbids_the_same_song_and_the_same_rhythm() -> None:
    onsets = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1.0]])
    allowed = avc_allowed(onsets, torch.tensor([7, 8, 9, 7]), 0.2)
    assert allowed.tolist() == [
        [False, True, False, False],  # the third has the same onsets, the last is the same song
        [True, False, True, False],
        [False, True, False, True],
        [False, False, True, False],
    ]


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_16_agrees_with_its_formula_pair_by_pair(seed: int, alpha: float) -> None:
    onsets = torch.rand(4, 12, generator=torch.Generator().manual_seed(seed)).lt(0.3).double()
    allowed = avc_allowed(onsets, torch.arange(4), alpha)
    for i in range(4):
        for j in range(4):
            differ = (onsets[i] - onsets[j]).abs().sum() - alpha * 12
            assert bool(allowed[i, j]) == (i != j and float(differ) > 0)


def test_17_by_hand() -> None:
    shifts = np.array([0.0, 2.0, 3.75, 5.5, 7.5, 9.4])  # 15 fps, 120 bpm: an eighth is 3.75 frames
    assert avts_allowed(shifts, 15.0, 120.0).tolist() == [False, True, False, True, False, True]


@given(st.floats(0.0, 0.999), st.floats(60.0, 180.0))
def test_17_a_drawn_shift_is_never_an_eighth_note(chance: float, tempo_bpm: float) -> None:
    tempi = np.array([tempo_bpm, 120.0])
    shifts, allowed = draw_avts_shifts(np.array([chance, chance]), 15.0, tempi, np.array([-20, -3]), np.array([20, 60]))
    assert allowed.all()
    assert -20 <= shifts[0] <= 20
    assert -3 <= shifts[1] <= 60
    eighth = 15.0 * 30.0 / tempi
    off = np.abs(shifts[:, None] - np.arange(-20, 21) * eighth[:, None]).min(axis=1)
    assert (off >= np.minimum(0.75, 0.4 * eighth) - 1e-9).all()


def test_17_every_allowed_shift_is_as_likely_as_any_other() -> None:
    chance = (np.arange(3000) + 0.5) / 3000
    many = np.ones(3000, np.int64)
    shifts, _ = draw_avts_shifts(chance, 15.0, np.full(3000, 100.0), -12 * many, 9 * many)
    values, counts = np.unique(shifts, return_counts=True)
    assert set(values) == set(np.arange(-12, 10)[avts_allowed(np.arange(-12.0, 10.0), 15.0, 100.0)])
    assert np.ptp(counts) <= 1


def test_17_no_shift_left() -> None:
    zero = np.zeros(1, np.int64)
    shifts, allowed = draw_avts_shifts(np.array([0.5]), 15.0, np.array([120.0]), zero, zero)
    assert (shifts.tolist(), allowed.tolist()) == ([0], [False])
