"""DIS flow on pictures whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mudar.features.flow import DisFlow, make_flow
from mudar.spec import VideoSpec


def texture(seed: int, side: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).random((side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_dis_sees_a_shift_right_and_down(preset: str) -> None:
    picture = texture(0)
    previous, following = picture[10:138, 10:138], picture[7:135, 8:136]  # content moves by u = +2, v = +3
    flow = DisFlow(VideoSpec(dis_preset=preset))(previous, following)  # type: ignore[arg-type]
    assert flow.shape == (128, 128, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [2.0, 3.0], atol=0.25)


def test_colour_and_other_sizes_are_taken_as_they_come() -> None:
    picture = cv2.resize(texture(1), (320, 320), interpolation=cv2.INTER_CUBIC)
    previous, following = picture[20:276, 20:276], picture[20:276, 12:268]  # u = +8 at 256, +4 at 128
    colour = [np.repeat(frame[..., None], 3, axis=2) for frame in (previous, following)]
    flow = make_flow(VideoSpec(flow_size_px=128))(*colour)
    np.testing.assert_allclose(np.median(flow[16:-16, 16:-16], axis=(0, 1)), [4.0, 0.0], atol=0.3)


def test_pwcnet_asks_for_its_weights() -> None:
    with pytest.raises(ValueError, match="weights"):
        make_flow(VideoSpec(flow="pwcnet"))
