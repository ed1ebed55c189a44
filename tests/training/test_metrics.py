"""Our figures against mir_eval's, and against cases worked by hand."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import metrics

times = st.lists(st.integers(0, 4000), min_size=1, max_size=25, unique=True).map(lambda v: np.sort(v) / 400.0)


@given(times, times, st.sampled_from([0.03, 0.05, 0.07, 0.2]))
def test_f1_is_mir_evals(reference: np.ndarray, estimated: np.ndarray, tolerance_s: float) -> None:
    tolerance_s += 1e-6  # no pair on the edge, where rounding decides
    theirs = mir_eval.onset.f_measure(reference, estimated, window=tolerance_s)
    ours = metrics.precision_recall_f1(reference, estimated, tolerance_s)
    assert (ours[2], ours[0], ours[1]) == pytest.approx(theirs)


def test_f1_of_nothing_is_nothing() -> None:
    assert metrics.f1([], [1.0], 0.07) == metrics.f1([1.0], [], 0.07) == 0.0


def test_chance_of_a_regular_pulse_is_its_window() -> None:
    """A pulse of period 1 s against itself, shifted anywhere: ±0.1 s catches a fifth of all shifts."""
    pulse = np.arange(0.5, 20.0)
    assert metrics.chance_f1(pulse, pulse, 0.1, 20.0) == pytest.approx(0.2, abs=0.03)


def test_timing_errors_have_a_sign() -> None:
    assert metrics.timing_errors_s([1.0, 2.0], [1.03, 1.98]).tolist() == pytest.approx([0.03, -0.02])


def test_bootstrap_holds_the_mean_and_shrinks_with_clips() -> None:
    rng = np.random.default_rng(0)
    few, many = (metrics.bootstrap(rng.normal(size=n)) for n in (20, 2000))
    assert few[1] < few[0] < few[2]
    assert many[2] - many[1] < 0.2 * (few[2] - few[1])
    assert np.isnan(metrics.bootstrap([])[0])


def test_ranks_by_hand_and_ties_count_against() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.5, 0.5, 0.1], [0.3, 0.2, 0.1]])
    ranks = metrics.true_ranks(scores, ["a", "b", "c"], ["a", "b", "c"])
    assert ranks.tolist() == [0, 1, 2]
    assert metrics.recall_at(ranks, 1) == pytest.approx(1 / 3)
    assert metrics.recall_at(ranks, 2) == pytest.approx(2 / 3)


def test_average_precision_by_hand() -> None:
    right = np.array([True, False, True, False])
    assert metrics.average_precision([0.9, 0.8, 0.7, 0.6], right) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert metrics.average_precision([0.1, 0.2], np.array([False, False])) == 0.0
