"""What reaches the network: independent of a clip's gain, of mirrors, and centred on its frames."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mudar.features.hoof import mirror
from mudar.model.inputs import LARGEST, at_frames, motion_gain, motion_input, normalise_motion
from mudar.spec import VideoSpec

SPEC = VideoSpec()
CLIP = np.random.default_rng(0).gamma(1.0, 0.01, (60, SPEC.motion_dim)).astype(np.float32)


@given(st.floats(0.1, 100))
def test_a_clips_gain_does_not_matter(gain: float) -> None:
    np.testing.assert_allclose(motion_input(CLIP * np.float32(gain), SPEC), motion_input(CLIP, SPEC), rtol=1e-4)


def test_normalising_and_mirroring_commute() -> None:
    np.testing.assert_allclose(mirror(normalise_motion(CLIP, SPEC), SPEC), normalise_motion(mirror(CLIP, SPEC), SPEC))


def test_an_even_motion_is_one_everywhere() -> None:
    even = np.zeros((20, SPEC.motion_dim), np.float32)
    even[:, : SPEC.hoof_bins] = 0.05 / SPEC.hoof_bins
    even[:, SPEC.hoof_bins] = 0.05
    even[:, SPEC.hoof_bins + 1 :] = 0.05 / SPEC.grid_directions
    np.testing.assert_allclose(normalise_motion(even, SPEC), 1.0, rtol=1e-5)


def test_a_cut_does_not_drown_the_dance() -> None:
    cut = CLIP.copy()
    cut[30] = 50.0
    calm = np.delete(np.arange(60), 30)
    np.testing.assert_allclose(normalise_motion(cut, SPEC)[calm], normalise_motion(CLIP, SPEC)[calm], rtol=0.1)
    assert normalise_motion(cut, SPEC).max() == LARGEST


def test_a_windows_gain_can_be_its_clips() -> None:
    gain = motion_gain(CLIP, SPEC)
    np.testing.assert_array_equal(normalise_motion(CLIP[10:20], SPEC, gain), normalise_motion(CLIP, SPEC)[10:20])


def test_motion_between_frames_is_centred_on_them() -> None:
    """Speed that grows steadily: at frame t it is t, half-way between the two pairs that meet there."""
    between = (np.arange(9) + 0.5)[:, None].astype(np.float32)
    frames = at_frames(between)[:, 0]
    np.testing.assert_allclose(frames[1:-1], np.arange(1, 9))
    assert len(frames) == 10


def test_a_single_frame_has_no_motion() -> None:
    assert not at_frames(np.zeros((0, 5), np.float32)).any()


def test_stillness_is_not_blown_up() -> None:
    assert normalise_motion(np.full((10, SPEC.motion_dim), 1e-7, np.float32), SPEC).max() < 0.05


def test_the_input_has_a_row_for_each_frame() -> None:
    assert motion_input(CLIP, SPEC).shape == (61, SPEC.motion_dim)
    assert motion_input(CLIP, SPEC).dtype == np.float32
