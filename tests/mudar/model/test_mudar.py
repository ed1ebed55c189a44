"""The whole network: dance alone, music alone, both; who may look at what; the presets and their records."""

from dataclasses import replace

import pytest
import torch

from mudar import spec as specs
from mudar.model.config import ModelConfig, paper, small
from mudar.model.mudar import Mudar, build
from mudar.spec import FeatureSpec

SPEC = FeatureSpec()
TINY = replace(small(), d_model=16, layers=1, embed_dim=8, injector_dim=8, audio_channels=(2, 4, 4), estimator_dim=8)
LOOKING = replace(
    paper(), d_model=16, layers=1, embed_dim=8, audio_channels=(2, 2, 4, 4), estimator_dim=8,
    pyramid_channels=(4, 4, 8), pyramid_levels=3, appearance_size_px=32,
)  # fmt: skip


def motion(batch: int = 3, frames: int = 30) -> torch.Tensor:
    return torch.rand(batch, frames, SPEC.video.motion_dim)


def audio(batch: int = 3, frames: int = 240) -> torch.Tensor:
    return torch.rand(batch, frames, SPEC.audio.input_dim)


@pytest.fixture
def net() -> Mudar:
    return build(TINY, SPEC, seed=1).eval()


@pytest.mark.slow
def test_dance_alone_music_alone_and_both(net: Mudar) -> None:
    moved, heard = motion(), audio()
    alone, sound, both = net(moved), net(audio=heard), net(moved, heard)
    assert alone.music is None
    assert sound.dance is None
    assert sound.rhythm_logits is None
    assert both.rhythm_logits.shape == alone.rhythm_logits.shape == (3, 30, 4)
    assert sound.music.sequence.shape == (3, 30, 16)
    torch.testing.assert_close(both.dance.embedding, alone.dance.embedding)  # no cross-modal interaction in 3.2
    torch.testing.assert_close(both.music.embedding, sound.music.embedding)
    assert not torch.allclose(both.rhythm_logits, alone.rhythm_logits)  # the injector did listen


def test_a_segment_alone_and_in_a_batch(net: Mudar) -> None:
    moved, heard = motion(), audio()
    batched, alone = net(moved, heard), net(moved[1:2], heard[1:2])
    torch.testing.assert_close(batched.dance.embedding[1:2], alone.dance.embedding, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(batched.music.embedding[1:2], alone.music.embedding, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(batched.rhythm_logits[1:2], alone.rhythm_logits, atol=1e-5, rtol=1e-5)


def test_any_length_goes(net: Mudar) -> None:
    for frames in (2, 15, 120):
        assert net(motion(1, frames)).rhythm_logits.shape == (1, frames, 4)
        assert net.encode_music(audio(1, 8 * frames)).sequence.shape[1] == frames


def test_every_parameter_learns_from_one_of_the_tasks(net: Mudar) -> None:
    net.train()
    out = net(motion(4), audio(4))
    (out.rhythm_logits.square().mean() + (out.dance.embedding * out.music.embedding).sum()).backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_the_same_seed_gives_the_same_network_and_leaves_no_trace() -> None:
    state = torch.random.get_rng_state()
    one, two, other = build(TINY, SPEC, 5), build(TINY, SPEC, 5), build(TINY, SPEC, 6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.dance.encoder.project.weight, other.dance.encoder.project.weight)


def test_the_small_network_cannot_read_the_room(net: Mudar) -> None:
    """Whatever the pictures show, the embedded default sees only the motion."""
    assert not small().needs_frames
    assert net.frame_maps is None
    moved = motion()
    pictures = torch.rand(3, 30, 3, 32, 32)
    torch.testing.assert_close(net(moved, frames=pictures).dance.embedding, net(moved).dance.embedding)


def test_the_papers_network_looks_at_frames_or_at_their_maps() -> None:
    spec = specs.paper()
    net = build(LOOKING, spec).eval()
    pictures, moved = torch.rand(2, 8, 3, 32, 32), torch.rand(2, 8, spec.video.motion_dim)
    by_picture, by_map = net(moved, frames=pictures), net(moved, frames=net.maps(pictures))
    torch.testing.assert_close(by_picture.dance.embedding, by_map.dance.embedding)
    torch.testing.assert_close(by_picture.rhythm_logits, by_map.rhythm_logits)
    with pytest.raises(ValueError, match="none were given"):
        net(moved)


def test_the_paper_preset_is_the_paper() -> None:
    config = paper()
    assert (config.map_cells, config.map_channels) == (16, 196)  # 196 x 4 x 4 at 256 x 256
    assert config.estimator_layers == 0
    assert not config.estimator_raw
    pyramid = build(config, specs.paper()).frame_maps.pyramid
    assert sum(p.numel() for p in pyramid.parameters()) == 1_665_804  # PWC-Net's encoder


def test_the_small_preset_is_small() -> None:
    assert sum(p.numel() for p in build(small(), SPEC).parameters()) <= 1_500_000


def test_the_crf_variant_gives_marginals_likelihood_and_states() -> None:
    net = build(replace(TINY, rhythm_head_kind="crf"), SPEC).eval()
    moved = motion(2, 10)
    states = net.rhythm_states(moved)
    assert states.shape == (2, 10, 4)
    assert (net.rhythm_nll(moved, states) <= net.rhythm_nll(moved, 1 - states)).all()
    assert net.rhythm_logits(moved).shape == (2, 10, 4)


def test_only_the_crf_has_a_likelihood(net: Mudar) -> None:
    with pytest.raises(ValueError, match="crf"):
        net.rhythm_nll(motion(), torch.zeros(3, 30, 4))


@pytest.mark.parametrize("config", [small(), paper(), TINY])
def test_a_config_survives_its_record(config: ModelConfig) -> None:
    assert ModelConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "change",
    [
        {"heads": 3}, {"served_head": "waltz"}, {"lambda_default": 1.5}, {"audio_gate_share": -0.1},
        {"visual_inputs": ()}, {"audio_channels": (1,)}, {"injector_dim": 30}, {"pyramid_levels": 7},
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|lies|needs|one"):
        replace(small(), **change)  # type: ignore[arg-type]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError):
        ModelConfig.from_dict({"d_mode": 3})
