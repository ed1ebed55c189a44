"""Plans: offset, octave, coverage, refusal; and the settings they come from."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mudar.errors import OutOfRange, RetargetRefused, UnknownMethod
from mudar.records import Rhythm
from mudar.retarget.plan import Plan, plan
from mudar.retarget.retarget import dry_run
from mudar.retarget.settings import RetargetSettings


def rhythm(times: np.ndarray, tempo: float = 120.0, *, beats: np.ndarray | None = None) -> Rhythm:
    return Rhythm(
        times_s=np.asarray(times, np.float32),
        strengths=np.ones(len(times), np.float32),
        curve=np.zeros(0, np.float32),
        fps=15.0,
        tempo_bpm=tempo,
        beats_s=np.asarray(times if beats is None else beats, np.float32),
    )


def steady(start: float, period: float, end: float) -> Rhythm:
    return rhythm(np.arange(start, end, period), 60 / period)


def test_a_dance_of_another_tempo_lands_and_uses_all_of_its_source() -> None:
    dance, music = steady(0.3, 0.6, 20), steady(0.2, 0.5, 60)
    chosen, report = dry_run(dance, 20.0, music, 60.0, 30.0, RetargetSettings())
    low, high = chosen.time_map.speed_range()
    assert low >= 0.67
    assert high <= 1.5
    assert chosen.octave == 1.0
    assert report["source_used"] > 0.99
    assert report["beats_hit"]["after"] > 0.95
    assert report["beats_hit"]["after"] > report["beats_hit"]["before"] + 0.3
    assert report["beats_hit"]["chance"] < 0.6
    assert report["landing_error_ms"]["p95"] < 1000 / 30 / 2
    np.testing.assert_allclose(chosen.time_map.source_s(chosen.knots_output_s), chosen.knots_source_s, atol=1e-6)


@pytest.mark.parametrize(("period", "octave"), [(0.5, 1.0), (1.0, 0.5), (0.25, 2.0)])
def test_the_octave_follows_the_density_of_the_strokes(period: float, octave: float) -> None:
    chosen = plan(steady(0.1, period, 20), 20.0, steady(0.2, 0.5, 40), 40.0, RetargetSettings())
    assert chosen.octave == octave
    assert chosen.time_map.speed_range() == pytest.approx((1, 1), abs=0.5)


def test_output_starts_where_picture_and_music_both_exist() -> None:
    chosen = plan(steady(3.0, 0.5, 10), 10.0, steady(0.5, 0.5, 8), 8.0, RetargetSettings(accent=0))
    assert chosen.offset_s == pytest.approx(0.0, abs=0.6)
    assert chosen.offset_s + chosen.duration_s <= 8.0 + 1e-9
    assert chosen.time_map.source_s(0.0) >= -1e-9
    assert chosen.time_map.source_s(chosen.duration_s) <= 10.0 + 1e-6


def test_a_pause_in_the_dance_is_crossed() -> None:
    times = np.concatenate([np.arange(0.5, 6, 0.5), np.arange(11.0, 20, 0.5)])
    chosen = plan(rhythm(times), 20.0, steady(0.3, 0.52, 40), 40.0, RetargetSettings())
    assert chosen.knots_source_s.min() < 3
    assert chosen.knots_source_s.max() > 17


def test_music_start_and_longest_duration_are_kept() -> None:
    dance, music = steady(0.1, 0.5, 30), steady(0.2, 0.5, 60)
    for method in ("dtw", "shift", "acceleration"):
        wish = RetargetSettings(method=method, music_start_s=10.0, max_duration_s=8.0)
        chosen = plan(dance, 30.0, music, 60.0, wish)
        assert chosen.offset_s >= 10.0
        assert chosen.duration_s <= 8.0 + 1e-9


def test_refusal_names_bounds_that_do() -> None:
    dance, music = steady(0.2, 1.0, 12), steady(0.2, 0.42, 9)  # speed 2.38, or 1.19 on every second beat
    narrow = RetargetSettings(min_speed=0.95, max_speed=1.05)
    with pytest.raises(RetargetRefused) as refused:
        plan(dance, 12.0, music, 9.0, narrow)
    low, high = (float(x) for x in re.findall(r"_speed=([\d.]+)", refused.value.hint))
    chosen = plan(dance, 12.0, music, 9.0, RetargetSettings(min_speed=low, max_speed=high))
    assert isinstance(chosen, Plan)


@pytest.mark.parametrize("method", ["dtw", "acceleration", "shift", "paper_dtw"])
def test_no_strokes_or_no_beats_is_refused(method: str) -> None:
    nothing = rhythm(np.zeros(0))
    for dance, music in ((nothing, steady(0, 0.5, 9)), (steady(0, 0.5, 9), nothing)):
        with pytest.raises(RetargetRefused):
            plan(dance, 10.0, music, 10.0, RetargetSettings(method=method))


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(st.floats(0.1, 2.0), min_size=0, max_size=40),
    st.lists(st.floats(0.2, 0.9), min_size=0, max_size=60),
    st.sampled_from([(0.67, 1.5), (0.5, 2.0), (0.9, 1.2)]),
    st.sampled_from(["beats", "onsets", "downbeats", "every_nth"]),
)
def test_whatever_comes_the_plan_is_lawful_or_refused(strokes, beats, bounds, on) -> None:
    dance, music = rhythm(np.cumsum(strokes)), rhythm(np.cumsum(beats))
    dance_s, music_s = float(sum(strokes)) + 1, float(sum(beats)) + 1
    wish = RetargetSettings(min_speed=bounds[0], max_speed=bounds[1], accent=1.0, on=on)
    try:
        chosen = plan(dance, dance_s, music, music_s, wish)
    except RetargetRefused as refused:
        event(refused.detail)
        return
    low, high = chosen.time_map.speed_range()
    assert bounds[0] <= low
    assert high <= bounds[1]
    assert chosen.offset_s >= 0
    assert chosen.offset_s + chosen.duration_s <= music_s + 1e-6
    shown = chosen.time_map.source_s([0.0, chosen.duration_s])
    assert shown[0] >= -1e-6
    assert shown[1] <= dance_s + 1e-6


@pytest.mark.parametrize(
    "wish",
    [
        {"accent": 1.5},
        {"min_speed": 1.2},
        {"max_speed": 0.9},
        {"crf": 99},
        {"interpolation": "magic"},
        {"on": "bars"},
        {"accent": float("nan")},
        {"max_duration_s": 0.1},
        {"original_gain_db": 40},
    ],
)
def test_settings_out_of_range(wish: dict) -> None:
    with pytest.raises(OutOfRange):
        RetargetSettings(**wish)


def test_unknown_method() -> None:
    with pytest.raises(UnknownMethod):
        RetargetSettings(method="magic")
