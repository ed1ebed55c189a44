"""The clock: where time 0 is, and what becomes of broken time stamps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.media.decode.timestamps import JUMP_S, PtsNormalizer, ends_early

STAMPS = st.lists(st.none() | st.floats(-1e5, 1e5), min_size=1, max_size=60)


@given(stamps=STAMPS, origin_s=st.floats(-10, 10), step_s=st.floats(0.001, 0.2), end_s=st.none() | st.floats(0, 100))
def test_whatever_the_stamps_time_goes_forward(
    stamps: list[float | None], origin_s: float, step_s: float, end_s: float | None
) -> None:
    normalizer = PtsNormalizer(origin_s, step_s, end_s)
    times_s = [t for t in map(normalizer.normalize, stamps) if t is not None]
    assert all(a < b for a, b in pairwise(times_s))
    if end_s is not None and times_s:  # nothing can push the clock far beyond the end of the file
        assert times_s[-1] <= max(end_s, times_s[0]) + JUMP_S + len(stamps) * step_s


@given(st.lists(st.floats(0.001, 0.9), min_size=1, max_size=50), st.floats(-5, 5))
def test_sound_stamps_are_only_shifted(steps_s: list[float], origin_s: float) -> None:
    stamps = [origin_s + sum(steps_s[:i]) for i in range(len(steps_s))]
    normalizer = PtsNormalizer(origin_s, 1 / 30, None)
    times_s = [normalizer.normalize(t) for t in stamps]
    assert times_s == pytest.approx([t - origin_s for t in stamps], abs=1e-9)


def test_a_clock_that_starts_again_goes_on() -> None:
    normalizer = PtsNormalizer(0.0, 0.5, None)
    assert [normalizer.normalize(t) for t in (10.0, 10.5, 11.0, 0.0, 0.5, 1.0)] == [10.0, 10.5, 11.0, 11.5, 12.0, 12.5]


def test_missing_stamps_follow_and_repeated_ones_are_dropped() -> None:
    normalizer = PtsNormalizer(1.0, 0.25, None)
    assert [normalizer.normalize(t) for t in (1.0, None, 1.5, 1.5, 1.4, None)] == [0.0, 0.25, 0.5, None, None, 0.75]


@pytest.mark.parametrize(
    ("end_s", "promised_s", "early"),
    [
        (10.0, 10.0, False),
        (9.6, 10.0, False),
        (9.4, 10.0, True),
        (599.6, 600.0, False),
        (599.0, 600.0, True),
        (2.0, 2.08, False),
        (1.8, 2.0, True),
        (5.0, None, False),
        (11.0, 10.0, False),
    ],
)
def test_what_counts_as_ending_early(end_s: float, promised_s: float | None, early: bool) -> None:
    assert ends_early(end_s, promised_s) is early
