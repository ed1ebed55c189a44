"""Shift and acceleration on knots small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.errors import RetargetRefused
from mudar.retarget.align.paper import acceleration, crop_start, cumulative_cost, paper_dtw, shift, warping_path
from mudar.retarget.warp.time_map import time_map


def test_shift_lays_the_first_stroke_of_the_crop_on_the_first_beat() -> None:
    # music of 4 s with 3 beats; of the 10 s of dance only the stretch from 6 s on holds 3 strokes in 4 s
    strokes = np.array([0.5, 5.9, 6.0, 7.0, 8.5, 9.9])
    beats = np.array([0.25, 1.5, 3.0])
    start = crop_start(strokes, 10.0, 4.0, 3)
    inside = strokes[(strokes >= start) & (strokes < start + 4.0)]
    assert len(inside) == 3
    music, source = shift(strokes, 10.0, beats, 4.0)
    assert music.tolist() == [0.25]
    assert source.tolist() == [inside[0]]


def test_shift_slides_over_the_music_when_the_dance_is_shorter() -> None:
    strokes = np.array([0.5, 1.0, 1.5, 2.0])
    beats = np.array([1.0, 5.0, 9.0, 13.0, 14.0, 14.5, 15.0, 15.5])
    music, source = shift(strokes, 3.0, beats, 16.0)
    assert source.tolist() == [0.5]
    start = crop_start(beats, 16.0, 3.0, 4)
    inside = beats[(beats >= start) & (beats < start + 3.0)]
    assert len(inside) == 4  # as many as the dance has strokes
    assert music.tolist() == [inside[0]]


@pytest.mark.parametrize(("strokes", "beats"), [([], [1.0]), ([1.0], [])])
def test_shift_needs_points_on_both_sides(strokes: list[float], beats: list[float]) -> None:
    with pytest.raises(RetargetRefused):
        shift(np.array(strokes), 5.0, np.array(beats), 5.0)


def test_acceleration_makes_every_interval_that_of_the_music() -> None:
    strokes = np.array([1.0, 1.4, 2.4, 2.9, 9.0])
    beats = np.array([0.5, 1.0, 1.5, 2.0])
    music, source = acceleration(strokes, beats, 0.0, np.inf)
    np.testing.assert_array_equal(music, beats)
    np.testing.assert_array_equal(source, strokes[:4])
    warp = time_map(music, source, (0.0, np.inf))
    shown_at = warp.at_source(source)
    np.testing.assert_allclose(np.diff(shown_at), np.diff(beats), atol=1e-9)  # I^v_k = I^a_k
    assert np.all(np.diff(warp.source_s(np.linspace(0, 3, 500))) > 0)


def test_acceleration_beyond_given_bounds_is_refused_and_says_what_would_do() -> None:
    strokes, beats = np.array([1.0, 1.4, 2.4]), np.array([0.5, 1.0, 1.5])  # speeds 0.8 and 2.0
    with pytest.raises(RetargetRefused, match=r"speed of 2\.00") as refused:
        acceleration(strokes, beats, 0.67, 1.5)
    assert "max_speed=4.28" in refused.value.hint  # 0.67 + 3 x 1.2: a smooth map swings beyond the mean speeds
    low, high = time_map(*acceleration(strokes, beats, 0.67, 4.28), (0.67, 4.28)).speed_range()
    assert 0.67 <= low <= high <= 4.28


def test_acceleration_needs_two_pairs() -> None:
    with pytest.raises(RetargetRefused):
        acceleration(np.array([1.0]), np.array([1.0, 2.0]), 0.0, np.inf)


def test_the_papers_dtw_by_hand() -> None:
    # strokes 0, 1, 3 and targets 0, 2, 3, in seconds: equations (22)-(23) filled in on paper
    strokes, targets = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 3.0])
    assert cumulative_cost(strokes, targets).tolist() == [[0, 2, 5], [1, 1, 3], [4, 2, 1]]
    assert warping_path(strokes, targets).tolist() == [[0, 0], [1, 1], [2, 2]]
    music, source = paper_dtw(strokes, targets)
    assert music.tolist() == [0, 2, 3]
    assert source.tolist() == [0, 1, 3]  # half speed for two seconds, then double speed for one


def test_the_papers_dtw_matches_every_point() -> None:
    # two strokes close together fall to one target, which then lies in their middle
    strokes, targets = np.array([0.0, 0.9, 1.1, 2.0]), np.array([0.0, 1.0, 2.0])
    assert warping_path(strokes, targets).tolist() == [[0, 0], [1, 1], [2, 1], [3, 2]]
    music, source = paper_dtw(strokes, targets)
    np.testing.assert_allclose(music, [0, 1, 2])
    np.testing.assert_allclose(source, [0, 1, 2])
    with pytest.raises(RetargetRefused):
        paper_dtw(np.array([1.0]), targets)


def test_the_papers_dtw_costs_what_the_cheapest_of_all_paths_costs() -> None:
    def cheapest(i: int, j: int) -> float:
        """Every monotone path from the first pair to (i, j), tried one by one."""
        here = abs(strokes[i] - targets[j])
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        costs = [cheapest(*at) for at in before if min(at) >= 0]
        return here + (min(costs) if costs else 0.0)

    rng = np.random.default_rng(3)
    for _ in range(10):
        strokes, targets = (np.sort(rng.uniform(0, 5, size)) for size in (5, 6))
        path = warping_path(strokes, targets)
        steps = np.diff(path, axis=0)
        assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}
        assert np.abs(strokes[path[:, 0]] - targets[path[:, 1]]).sum() == pytest.approx(cheapest(4, 5))
