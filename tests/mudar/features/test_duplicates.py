"""Frames shown twice are found, pauses are not."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.features.duplicates import duplicate_frames


def test_every_fifth_frame_of_24_in_30_is_found() -> None:
    displacement = np.ones(29)
    displacement[[4, 9, 14, 19, 24]] = [0.0, 0.05, 0.0, 0.09, 0.0]
    assert np.flatnonzero(duplicate_frames(displacement)).tolist() == [5, 10, 15, 20, 25]


def test_a_pause_of_two_frames_and_a_slow_frame_are_motion() -> None:
    displacement = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.2, 1.0, 1.0])
    assert not duplicate_frames(displacement).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_first_two_frames_and_the_last_are_never_marked(count: int) -> None:
    marked = duplicate_frames(np.zeros(count))
    assert marked.shape == (count + 1,)
    assert not marked.any()
