"""DIS flow on pictures whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mudar.features.flow import DisFlow, make_flow
from mudar.features.hoof import mean_descriptor, motion_descriptor
from mudar.spec import FlowShape, VideoSpec


def texture(seed: int, side: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_sees_a_shift_right_and_down(preset: str) -> None:
    picture = texture(0)
    previous, following = picture[10:138, 10:138], picture[7:135, 8:136]  # content moves by u = +2, v = +3
    (flow,) = DisFlow(VideoSpec(dis_preset=preset))(previous, following)  # type: ignore[arg-type]
    assert flow.shape == (128, 128, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [2.0, 3.0], atol=0.25)


def test_colour_and_other_sizes_are_taken_as_they_come() -> None:
    picture = cv2.resize(texture(1), (320, 320), interpolation=cv2.INTER_CUBIC)
    previous, following = picture[20:276, 20:276], picture[20:276, 12:268]  # u = +8 at 256, +4 at 128
    colour = [np.repeat(frame[..., None], 3, axis=2) for frame in (previous, following)]
    (flow,) = make_flow(VideoSpec(flow_size_px=128))(*colour)
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [4.0, 0.0], atol=0.3)


def test_pwcnet_asks_for_its_weights() -> None:
    with pytest.raises(ValueError, match="weights"):
        make_flow(VideoSpec(flow="pwcnet"))


@pytest.mark.parametrize(
    ("shape", "shown", "size"),
    [
        ("square", (1920, 1080), (128, 128)),
        ("kept", (1920, 1080), (228, 128)),
        ("kept", (1080, 1920), (128, 228)),
        ("both", (320, 180), (228, 128)),
        ("both", (500, 500), (128, 128)),
        ("kept", (4000, 400), (384, 128)),  # no longer than three times its shorter side
    ],
)
def test_the_picture_that_dis_works_on(shape: FlowShape, shown: tuple[int, int], size: tuple[int, int]) -> None:
    flow = DisFlow(VideoSpec(flow_shape=shape))
    assert flow.size(shown) == size
    assert flow.size(size) == size  # a picture of that size is left as it is
    frames = [np.zeros((size[1], size[0]), np.uint8)] * 2
    flows = [(field.shape[1], field.shape[0]) for field in flow(*frames)]
    assert flows == ([size, (128, 128)] if shape == "both" and size != (128, 128) else [size])


def test_a_thin_arm_in_a_wide_picture_is_seen_in_its_own_shape_only() -> None:
    """A bar of 4 of 320 pixels moves by 3 over a quiet room: the square's flow has less than half of its motion."""
    room = (90 + 20 * np.random.default_rng(5).random((45, 80))).repeat(4, 0).repeat(4, 1)
    frames = [room.astype(np.uint8), room.astype(np.uint8)]
    for frame, left in zip(frames, (150, 153), strict=True):
        frame[20:160, left : left + 4] = 230
    sides = {}
    for shape in ("square", "kept"):
        (field,) = DisFlow(VideoSpec(flow_shape=shape))(*frames)  # type: ignore[arg-type]
        sides[shape] = float(np.abs(field[..., 0] / field.shape[1]).mean())
    assert sides["square"] < 0.5 * sides["kept"]


def test_the_motion_of_both_shapes_is_their_mean() -> None:
    flow, spec = DisFlow(VideoSpec(flow_shape="both")), VideoSpec()
    wide = cv2.resize(texture(2), (228, 128), interpolation=cv2.INTER_CUBIC)
    native, square = flow(wide[:, :-4], wide[:, 4:])
    expected = (motion_descriptor(native, spec) + motion_descriptor(square, spec)) / 2
    np.testing.assert_allclose(mean_descriptor((native, square), spec), expected, rtol=1e-6)
    np.testing.assert_array_equal(mean_descriptor((native,), spec), motion_descriptor(native, spec))
