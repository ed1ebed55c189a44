"""The music encoder: its convolutions against explicit sums, its time axis, its independence of the batch."""

import torch
import torch.nn.functional as F

from mudar.model.config import ModelConfig
from mudar.model.music import MusicEncoder

CONFIG = ModelConfig(d_model=16, embed_dim=8, audio_channels=(2, 3), audio_time_strides=(2, 2))


def test_the_first_convolution_is_the_sum_over_its_window() -> None:
    torch.manual_seed(0)
    encoder, audio = MusicEncoder(CONFIG, 10).eval(), torch.randn(1, 16, 10)
    convolution = encoder.convolutions[0]
    padded = F.pad(audio, (1, 1, 1, 1))[0]
    out = convolution(audio[:, None])[0]
    assert out.shape == (2, 8, 5)
    for c, t, f in ((0, 0, 0), (1, 3, 2), (0, 7, 4)):
        window = padded[2 * t : 2 * t + 3, 2 * f : 2 * f + 3]
        expected = (window * convolution.weight[c, 0]).sum() + convolution.bias[c]
        torch.testing.assert_close(out[c, t, f], expected)


def test_music_falls_on_as_many_frames_as_asked() -> None:
    encoder = MusicEncoder(CONFIG, 10).eval()
    for frames in (1, 7, 16, 40):
        assert encoder(torch.randn(2, 64, 10), frames).sequence.shape == (2, frames, 16)


def test_an_event_falls_on_its_frame() -> None:
    """A change of the sound at one moment moves the features of that moment, before the layers over time mix them."""
    torch.manual_seed(1)
    encoder, audio = MusicEncoder(CONFIG, 10).eval(), torch.zeros(1, 64, 10)
    touched = audio.clone()
    touched[0, 40] += 1.0
    with torch.no_grad():
        convolution = encoder.convolutions[0]
        moved = (convolution(touched[:, None]) - convolution(audio[:, None])).abs().sum(dim=(1, 3))[0]
    assert int(moved.argmax()) == 20  # 40 / stride 2


def test_a_segment_is_embedded_alike_in_any_company() -> None:
    torch.manual_seed(2)
    encoder, audio = MusicEncoder(CONFIG, 10).eval(), torch.randn(5, 64, 10)
    batched, alone = encoder(audio, 16), encoder(audio[3:4], 16)
    torch.testing.assert_close(batched.embedding[3:4], alone.embedding, atol=1e-6, rtol=1e-5)
