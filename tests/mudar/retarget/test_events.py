"""Which moments of a dance are to land: the strokes, or the brakes beside them when the network is not sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mudar.records import Rhythm
from mudar.retarget.events import fill_gaps, rhythm_events, stroke_anchors, stroke_events, trust_strokes


def dance(strength: float, impacts: list[float]) -> Rhythm:
    times = np.array([1.0, 2.0, 3.0], np.float32)
    return Rhythm(
        times, np.full(3, strength, np.float32), np.zeros(0, np.float32), 15.0, 60.0,
        impacts_s=np.array(impacts, np.float32),
    )  # fmt: skip


def test_unsure_strokes_move_to_the_brake_beside_them() -> None:
    assert stroke_anchors(dance(0.3, [0.95, 2.3, 3.08])) == pytest.approx([0.95, 2.0, 3.08])


def test_sure_strokes_and_those_without_impacts_stay() -> None:
    assert stroke_anchors(dance(0.8, [0.95, 2.3, 3.08])).tolist() == [1.0, 2.0, 3.0]
    assert stroke_anchors(dance(0.3, [])).tolist() == [1.0, 2.0, 3.0]


def test_where_strokes_are_counted_beats_the_peaks_of_the_network_are_to_land() -> None:
    counted = replace(
        dance(0.8, [1.2, 2.6]),
        peaks_s=np.array([1.25, 1.7], np.float32),
        peak_strengths=np.array([0.2, 0.4], np.float32),
    )
    assert not trust_strokes(counted)
    assert stroke_events(counted).times_s == pytest.approx([1.2, 1.7])
    assert stroke_events(counted).strengths == pytest.approx([0.5, 1.0])
    by_hand = replace(counted, impacts_s=np.zeros(0, np.float32))
    assert stroke_events(by_hand).times_s.tolist() == [1.0, 2.0, 3.0]


def test_two_strokes_at_one_brake_are_one() -> None:
    close = Rhythm(
        np.array([1.0, 1.15, 2.0], np.float32), np.full(3, 0.3, np.float32), np.zeros(0, np.float32), 15.0, 60.0,
        impacts_s=np.array([1.07], np.float32),
    )  # fmt: skip
    assert stroke_events(close).times_s == pytest.approx([1.07, 2.0])


def test_the_stronger_of_two_close_points_stays() -> None:
    events = rhythm_events([0.0, 1.0, 1.1, 2.0], [1.0, 0.4, 0.8, 0.0])
    assert events.times_s.tolist() == [0.0, 1.1, 2.0]
    assert events.strengths == pytest.approx([1.0, 0.8, 0.15])


def test_gaps_get_stand_ins_that_need_not_land() -> None:
    events = fill_gaps(rhythm_events([0.0, 0.5, 1.0, 1.5, 3.0, 3.5]))
    assert events.times_s.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert events.real.tolist() == [True] * 4 + [False] * 2 + [True] * 2
