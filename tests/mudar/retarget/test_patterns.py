"""Shift and acceleration on knots small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.errors import RetargetRefused
from mudar.retarget.acceleration import acceleration
from mudar.retarget.shift import crop_start, shift
from mudar.retarget.timewarp import time_map


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
    assert "max_speed=2" in refused.value.hint
    acceleration(strokes, beats, 0.67, 2.0)


def test_acceleration_needs_two_pairs() -> None:
    with pytest.raises(RetargetRefused):
        acceleration(np.array([1.0]), np.array([1.0, 2.0]), 0.0, np.inf)
