"""AGVA against a loop over (5)-(8); the gate with music, without, and in training."""

import pytest
import torch
from torch import Tensor, nn

from mudar.model.injector import Agva, Injector


def linear_relu(block: nn.Sequential, x: Tensor) -> Tensor:
    """U of (5) and (7), written out."""
    linear = block[0]
    assert isinstance(linear, nn.Linear)
    return (linear.weight @ x + linear.bias).clamp(min=0)


def test_agva_is_the_loop_over_positions() -> None:
    torch.manual_seed(0)
    agva, maps, audio = Agva(6, 4).eval(), torch.randn(1, 2, 3, 6), torch.randn(1, 2, 4)
    for t in range(2):
        f, a = maps[0, t], audio[0, t]
        pooled = sum(linear_relu(agva.audio_channel, a) * linear_relu(agva.visual_channel, f[i]) for i in range(3)) / 3
        w_c = torch.sigmoid(agva.w1.weight @ linear_relu(agva.u1, pooled) + agva.w1.bias)
        f_c = [w_c * f[i] for i in range(3)]
        scores = []
        for i in range(3):
            both = linear_relu(agva.audio_space, a) * linear_relu(agva.visual_space, f_c[i])
            scores.append(torch.tanh(agva.w2.weight @ both + agva.w2.bias).squeeze())
        w_s = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
        expected = sum(w_s[i] * f_c[i] for i in range(3))
        torch.testing.assert_close(agva(maps, audio)[0, t], expected)
        torch.testing.assert_close(agva.channel_weights(maps, audio)[0, t], w_c)


def test_position_weights_sum_to_one() -> None:
    agva, maps, audio = Agva(6, 4), torch.randn(2, 5, 9, 6), torch.randn(2, 5, 4)
    torch.testing.assert_close(agva.position_weights(maps, audio).sum(dim=-1), torch.ones(2, 5))


def test_agva_forgets_the_order_of_positions() -> None:
    agva, maps, audio = Agva(6, 4).eval(), torch.randn(2, 5, 9, 6), torch.randn(2, 5, 4)
    torch.testing.assert_close(agva(maps[:, :, torch.randperm(9)], audio), agva(maps, audio))


@pytest.fixture
def injector() -> Injector:
    torch.manual_seed(1)
    return Injector(cells=9, channels=8, audio_dim=4, heads=2, deaf_share=0.25)


def test_in_evaluation_the_gate_follows_the_music(injector: Injector) -> None:
    injector.eval()
    maps, audio = torch.randn(4, 5, 9, 8), torch.randn(4, 5, 4)
    torch.testing.assert_close(injector.gated(maps, audio), injector.agva(maps, audio))
    torch.testing.assert_close(injector.gated(maps, None), injector.without(maps.flatten(2)))
    assert not torch.allclose(injector(maps, audio), injector(maps))


def test_in_training_the_gate_splits_the_batch_and_keeps_its_order(injector: Injector) -> None:
    maps, audio = torch.randn(8, 5, 9, 8), torch.randn(8, 5, 4)
    injector.eval()
    heard, deaf = injector.gated(maps, audio), injector.gated(maps, None)
    injector.train()
    split = injector.gated(maps, audio)
    torch.testing.assert_close(split[:2], deaf[:2])  # 8 * 0.25 clips
    torch.testing.assert_close(split[2:], heard[2:])


def test_both_ways_of_the_gate_learn(injector: Injector) -> None:
    injector.train()
    injector(torch.randn(8, 5, 9, 8), torch.randn(8, 5, 4)).square().sum().backward()
    assert injector.without.weight.grad is not None
    assert injector.agva.w2.weight.grad is not None
    assert injector.without.weight.grad.abs().sum() > 0
    assert injector.agva.w2.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_or_none_of_a_batch_may_go_deaf(share: float) -> None:
    injector = Injector(9, 8, 4, 2, deaf_share=share).train()
    assert injector(torch.randn(3, 5, 9, 8), torch.randn(3, 5, 4)).shape == (3, 5, 8)
