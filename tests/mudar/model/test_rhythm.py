"""The rhythm estimator against (15) worked out by hand, and its heads."""

from dataclasses import replace

import pytest
import torch

from mudar.model.config import ModelConfig
from mudar.model.rhythm import CrfHead, FrameHead, RhythmFeatures, first_difference, make_head

PAPER = ModelConfig(
    injector_dim=4,
    estimator_dim=2,
    estimator_raw=False,
    estimator_layers=0,
    rhythm_heads=("onset",),
    served_head="onset",
)


def test_first_difference() -> None:
    x = torch.tensor([[[1.0], [4.0], [2.0]]])
    assert first_difference(x).flatten().tolist() == [0.0, 3.0, -2.0]


def test_eq_15_by_hand() -> None:
    """One motion feature 0, 1, 3; one injected channel 2, 2, 1 (and three silent ones); weights chosen by hand."""
    features, head = RhythmFeatures(PAPER, motion_dim=1), FrameHead(PAPER)
    features.motion[0].weight.data = torch.tensor([[1.0], [-1.0]])
    features.motion[0].bias.data = torch.tensor([0.0, 0.5])
    features.injected[0].weight.data = torch.tensor([[2.0, 0, 0, 0], [-2.0, 0, 0, 0]])
    features.injected[0].bias.data = torch.tensor([0.0, 0.0])
    head.linear.weight.data = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    head.linear.bias.data = torch.tensor([0.25])
    motion = torch.tensor([[[0.0], [1.0], [3.0]]])
    injected = torch.tensor([[[2.0, 7, 7, 7], [2.0, 7, 7, 7], [1.0, 7, 7, 7]]])
    # f'_mot = 0, 1, 2 -> U_mot: (0, .5), (1, 0), (2, 0); f'_inj = 0, 0, -1 -> U_inj: (0, 0), (0, 0), (0, 2)
    expected = [0.25 + 10 * 0.5, 0.25 + 1, 0.25 + 2 + 1000 * 2]
    assert head(features(motion, injected)).flatten().tolist() == pytest.approx(expected)


def test_in_the_papers_form_a_constant_is_invisible() -> None:
    torch.manual_seed(0)
    features, motion, injected = RhythmFeatures(PAPER, 3), torch.randn(1, 6, 3), torch.randn(1, 6, 4)
    torch.testing.assert_close(features(motion + 5, injected - 3), features(motion, injected))


def test_with_raw_features_it_is_not() -> None:
    features = RhythmFeatures(replace(PAPER, estimator_raw=True), 3)
    motion, injected = torch.randn(1, 6, 3), torch.randn(1, 6, 4)
    assert not torch.allclose(features(motion + 5, injected), features(motion, injected))


def test_the_config_names_the_head() -> None:
    for kind in ("focal", "bce", "regression"):
        assert isinstance(make_head(replace(PAPER, rhythm_head_kind=kind)), FrameHead)  # type: ignore[arg-type]
    assert isinstance(make_head(replace(PAPER, rhythm_head_kind="crf")), CrfHead)


@pytest.mark.slow
def test_the_crf_head_learns_a_pattern() -> None:
    """A stroke in every third frame, shown by one feature: after a few steps Viterbi tells it."""
    torch.manual_seed(0)
    config = replace(PAPER, rhythm_head_kind="crf", estimator_dim=4)
    head = CrfHead(config)
    strokes = torch.zeros(4, 12, 1, dtype=torch.long)
    strokes[:, ::3] = 1
    features = torch.randn(4, 12, 8) * 0.3
    features[..., :1] += strokes
    optimiser = torch.optim.Adam(head.parameters(), 0.05)
    before = head.nll(features, strokes).mean().item()
    for _ in range(30):
        optimiser.zero_grad()
        head.nll(features, strokes).mean().backward()
        optimiser.step()
    assert head.nll(features, strokes).mean().item() < 0.1 * before
    assert torch.equal(head.decode(features), strokes)
