"""Layers over time against torch's own, against loops, and against what they promise of batches and reach."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from mudar.model.config import ModelConfig
from mudar.model.temporal import SelfAttention, SequenceEncoder, TransformerLayer, dilated_stack, positions

CONFIG = ModelConfig(d_model=16, heads=4, embed_dim=8)


@torch.no_grad()
def test_attention_is_the_loop_over_heads_and_frames() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2).eval(), torch.randn(1, 5, 8)
    q, k, v = (x[0] @ layer.qkv.weight[i * 8 : i * 8 + 8].T + layer.qkv.bias[i * 8 : i * 8 + 8] for i in range(3))
    expected = torch.zeros(5, 8)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        for t in range(5):
            scores = torch.tensor([float(q[t, part] @ k[s, part]) / math.sqrt(4) for s in range(5)])
            share = scores.exp() / scores.exp().sum()
            assert torch.allclose(share, layer.weights(x)[0, head, t], atol=1e-6)
            expected[t, part] = sum(share[s] * v[s, part] for s in range(5))
    torch.testing.assert_close(layer(x)[0], expected @ layer.out.weight.T + layer.out.bias)


def test_attention_weights_sum_to_one() -> None:
    weights = SelfAttention(8, 2).weights(torch.randn(3, 7, 8) * 10)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 7))
    assert (weights >= 0).all()


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_layer_is_torchs_own(norm_first: bool) -> None:
    torch.manual_seed(1)
    ours = TransformerLayer(replace(CONFIG, norm_first=norm_first)).eval()
    oracle = nn.TransformerEncoderLayer(16, 4, 32, activation="relu", batch_first=True, norm_first=norm_first).eval()
    oracle.self_attn.in_proj_weight.data = ours.attention.qkv.weight.data
    oracle.self_attn.in_proj_bias.data = ours.attention.qkv.bias.data
    oracle.self_attn.out_proj.load_state_dict(ours.attention.out.state_dict())
    oracle.linear1.load_state_dict(ours.feedforward[0].state_dict())
    oracle.linear2.load_state_dict(ours.feedforward[3].state_dict())
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(ours(x), oracle(x), atol=1e-5, rtol=1e-5)


def test_positions_are_the_printed_sinusoids() -> None:
    table = positions(50, 6, torch.zeros(1))
    for t in (0, 1, 17, 49):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_dilated_stack_sees_what_it_says_and_no_more() -> None:
    torch.manual_seed(2)
    stack, x = dilated_stack(4, 3, 0.0).eval(), torch.randn(1, 41, 4)
    touched = x.clone()
    touched[0, 20] += torch.randn(4)
    changed = (stack(x) - stack(touched)).abs().sum(dim=-1)[0] > 1e-7
    assert changed.nonzero().squeeze(-1).tolist() == list(range(13, 28))  # 2^4 - 1 frames around frame 20


@pytest.mark.parametrize("network", ["transformer", "tcn"])
def test_a_segment_is_embedded_alike_in_any_company(network: str) -> None:
    torch.manual_seed(3)
    encoder = SequenceEncoder(10, replace(CONFIG, temporal_network=network)).eval()  # type: ignore[arg-type]
    x = torch.randn(6, 12, 10)
    batched, alone = encoder(x), encoder(x[2:3])
    torch.testing.assert_close(batched.embedding[2:3], alone.embedding, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(batched.sequence[2:3], alone.sequence, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batched.embedding.norm(dim=-1), torch.ones(6))


def test_order_in_time_matters() -> None:
    torch.manual_seed(4)
    encoder, x = SequenceEncoder(10, CONFIG).eval(), torch.randn(1, 12, 10)
    assert not torch.allclose(encoder(x).embedding, encoder(x.flip(1)).embedding, atol=1e-3)
