"""Windows cover a file, and stitching undoes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.features.windows import overlap_add, windows
from mudar.spec import FeatureSpec

SPEC = FeatureSpec()


@given(st.floats(1.0, 700.0), st.integers(-1, 1))
def test_windows_cover_every_frame_and_have_one_length(duration_s: float, rounding: int) -> None:
    frames = max(round(duration_s * SPEC.video.fps) + rounding, 2)
    segments = windows(duration_s, frames, SPEC)
    covered = np.zeros(frames, bool)
    for window in segments:
        assert 0 <= window.first_frame <= frames - window.frames
        assert window.first_frame / SPEC.video.fps == pytest.approx(window.start_s, abs=0.21)
        assert window.end_s <= duration_s + 1e-9
        covered[window.first_frame : window.first_frame + window.frames] = True
    assert covered.all()
    assert {window.frames for window in segments} == {frames if frames <= 122 else 120}


def test_a_short_file_is_one_window_of_its_own_length() -> None:
    (only,) = windows(2.5, 37, SPEC)
    assert (only.start_s, only.end_s, only.first_frame, only.frames) == (0.0, 2.5, 0, 37)


@given(st.integers(20, 700))
def test_windows_that_agree_give_the_curve_back(frames: int) -> None:
    curve = np.random.default_rng(frames).random((frames, 2)).astype(np.float32)
    where = windows(frames / SPEC.video.fps, frames, SPEC)
    cut = np.stack([curve[w.first_frame : w.first_frame + w.frames] for w in where])
    np.testing.assert_allclose(overlap_add(cut, where, frames), curve, atol=1e-6)


def test_where_windows_differ_the_one_that_sees_more_counts_more() -> None:
    where = windows(12.0, 180, SPEC)
    cut = np.stack([np.zeros((120, 1)), np.ones((120, 1))]).astype(np.float32)
    curve = overlap_add(cut, where, 180)[:, 0]
    assert (np.diff(curve[60:120]) > 0).all()
    assert (curve[:60] == 0).all()
    assert (curve[120:] == 1).all()
