"""Scores against hand counts and mir_eval."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.rhythm.metrics import beat_alignment, chance_level, distance_s, hit_share


def test_hits_by_hand() -> None:
    assert hit_share([1.0, 2.0, 3.0, 4.0], [1.03, 2.2, 3.9], 0.034) == 0.25
    assert hit_share([1.0], [], 0.1) == 0.0
    assert hit_share([], [1.0], 0.1) == 0.0


@given(st.lists(st.integers(0, 400), unique=True, min_size=1), st.lists(st.integers(0, 400), unique=True, min_size=1))
def test_hits_are_mir_evals_recall_when_points_are_sparse(onsets: list[int], strokes: list[int]) -> None:
    reference, estimate = (np.sort(np.array(x, float)) for x in (onsets, strokes))
    # at a tolerance below half the smallest gap, one-to-one matching and nearest neighbour agree
    _, _, recall = mir_eval.onset.f_measure(reference, estimate, window=0.4)
    assert hit_share(reference, estimate, 0.4) == pytest.approx(recall)


def test_beat_alignment_by_hand() -> None:
    assert beat_alignment([0, 1, 2], [0.0, 1.05]) == pytest.approx((1 + np.exp(-0.5)) / 2)


def test_chance_of_a_beat_train_is_its_tolerance_over_its_period() -> None:
    beats = np.arange(0.25, 60, 0.5)
    assert hit_share(beats, beats, 1 / 30) == 1.0
    chance = chance_level(lambda s: hit_share(beats, s, 1 / 30), beats, 60.0)
    assert chance == pytest.approx(2 / 30 / 0.5, abs=0.03)


@given(st.lists(st.floats(0, 50), min_size=1), st.lists(st.floats(0, 50), min_size=1))
def test_nearest_is_the_minimum_over_all(a: list[float], b: list[float]) -> None:
    there = np.sort(np.array(b))
    slow = np.abs(np.array(a)[:, None] - there[None, :]).min(axis=1)
    np.testing.assert_allclose(distance_s(a, there), slow)
