"""Our figures against mir_eval's, and against cases worked by hand."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import metrics

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


def test_ties_count_against_the_right_items() -> None:
    right = np.array([True, False, False, True])
    assert metrics.average_precision([0.5, 0.5, 0.1, 0.1], right) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert metrics.precision_at([0.5, 0.5, 0.1, 0.1], right, 1) == 0.0
    assert metrics.precision_at([0.5, 0.5, 0.1, 0.1], right, 10) == 0.5


def test_table_3_by_hand() -> None:
    """Two songs with two dances each, and one dance of neither: music a finds its dances 1st and 4th, b 2nd and 3rd."""
    items = ["a", "b", "a", "b", "x"]
    scores = [[0.9, 0.8, 0.6, 0.5, 0.7], [0.9, 0.8, 0.1, 0.7, 0.2]]
    figures = metrics.retrieval_scores(scores, ["a", "b"], items)
    assert figures["r1"].tolist() == [1.0, 0.0]
    assert figures["r5"].tolist() == [1.0, 1.0]
    assert figures["p10"].tolist() == [0.4, 0.4]
    assert figures["map"].tolist() == pytest.approx([(1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2])


def test_a_gallery_may_leave_items_out_and_queries_without_a_right_item_are_none() -> None:
    allowed = [[False, True, True], [True, True, True], [True, True, True]]
    figures = metrics.retrieval_scores(np.eye(3), ["a", "b", "nobody"], ["a", "b", "a"], allowed)
    assert figures["r1"].tolist() == [0.0, 1.0]
    assert metrics.retrieval_chance(["a", "b"], ["a", "b", "a"], allowed[:2])["r1"] == pytest.approx(
        (1 / 2 + 1 / 3) / 2
    )


@pytest.mark.parametrize(("items", "right"), [(22, 1), (12, 5), (7, 7)])
def test_chance_of_table_3_is_the_mean_over_random_orders(items: int, right: int) -> None:
    rng = np.random.default_rng(0)
    labels = ["a"] * right + ["b"] * (items - right)
    random = metrics.retrieval_scores(rng.uniform(size=(4000, items)), ["a"] * 4000, labels)
    chance = metrics.retrieval_chance(["a"], labels)
    for name, values in random.items():
        assert values.mean() == pytest.approx(chance[name], abs=0.025)
