"""A refusal names bounds, and those bounds do: for any rhythm that is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mudar.errors import RetargetRefused
from mudar.records import Rhythm
from mudar.retarget.plan import plan
from mudar.retarget.settings import RetargetSettings

NOTHING = np.zeros(0, np.float32)


def rhythm(gaps: list[float]) -> tuple[Rhythm, float]:
    """Points with these gaps, and how long the medium is."""
    times = np.cumsum(gaps).astype(np.float32)
    return Rhythm(times, np.ones(len(times), np.float32), NOTHING, 15.0, 120.0, beats_s=times), float(sum(gaps)) + 0.5


def settings_of(wish: dict[str, str], low: float, high: float) -> RetargetSettings:
    return RetargetSettings(**wish, min_speed=low, max_speed=high)


def refusal(call: Callable[[], object]) -> RetargetRefused | None:
    try:
        call()
    except RetargetRefused as refused:
        return refused
    return None


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.floats(0.25, 2.0), st.floats(0.25, 0.9), st.lists(st.floats(0.7, 1.4), min_size=6, max_size=14),
    st.sampled_from(["dtw", "acceleration"]), st.sampled_from([(0.97, 1.03), (0.9, 1.1), (0.67, 1.5)]),
)  # fmt: skip
def test_the_bounds_that_a_refusal_names_do(
    stroke_s: float, beat_s: float, jitter: list[float], method: str, bounds: tuple[float, float]
) -> None:
    dance, dance_s = rhythm([stroke_s * j for j in jitter])
    music, music_s = rhythm([beat_s] * 20)
    wish = {"method": method, "on": "onsets"}
    refused = refusal(lambda: plan(dance, dance_s, music, music_s, settings_of(wish, *bounds)))
    named = re.findall(r"_speed=([\d.]+)", refused.hint) if refused else []
    event("accepted" if refused is None else f"refused, {'bounds' if named else 'none would do'}")
    if refused is None:
        return
    if not named:
        assert "shift" in refused.hint
        plan(dance, dance_s, music, music_s, RetargetSettings(method="shift", on="onsets"))
        return
    low, high = (float(value) for value in named)
    assert low <= bounds[0]
    assert high >= bounds[1]
    chosen = plan(dance, dance_s, music, music_s, settings_of(wish, low, high))
    slowest, fastest = chosen.time_map.speed_range()
    assert low - 1e-6 <= slowest <= fastest <= high + 1e-6


def test_a_refusal_counts_in_words() -> None:
    (one, one_s), (music, music_s) = rhythm([1.0]), rhythm([0.5] * 20)
    refused = refusal(lambda: plan(one, one_s, music, music_s, RetargetSettings()))
    assert refused is not None
    assert refused.detail == "The dance has 1 stroke and the music 20 beats; a warp needs two of each."
