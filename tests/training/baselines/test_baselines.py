"""The systems compared with: each learns a batch by its own loss, and its scores say what its paper's say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mudar.model.config import ModelConfig
from training import train as loop
from training.baselines.avts import MARGIN, Avts
from training.baselines.multisensory import Multisensory
from training.baselines.network import Baseline, another
from training.baselines.registry import BASELINES, build_network
from training.data.batches import Batch, Mixture, make_batch
from training.data.records import ClipFeatures, encode_jpeg
from training.evaluation.inference import predict
from training.recipe import Recipe
from training.recipes import registry

pytestmark = pytest.mark.slow


def _tiny(name: str) -> tuple[Recipe, Baseline]:
    recipe = registry.get(name)
    model = replace(recipe.model, d_model=32, layers=2, heads=2, embed_dim=16, audio_channels=(2, 2, 4), dropout=0.0)
    small = replace(recipe, model=model, data=replace(recipe.data, batch=8))
    network = build_network(small)
    assert isinstance(network, Baseline)
    return small, network


def _batch(source: Mixture, recipe: Recipe) -> Batch:
    return make_batch(source, recipe, recipe.optimiser.steps - 1)  # late in the curriculum: with shifted music


@pytest.mark.parametrize("name", BASELINES)
def test_each_learns_a_batch(name: str, source: Mixture) -> None:
    recipe, network = _tiny(name)
    batch = _batch(source, recipe)
    assert len(batch.audio) == len(batch.motion) == 8
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    losses = []
    for _ in range(80):
        loss, parts = network.loss(batch)
        assert {part.requires_grad for part in parts.values()} == {False}
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.7 * losses[0]


@pytest.mark.parametrize("name", BASELINES)
def test_each_has_the_budget_of_the_small_network(name: str) -> None:
    ours = sum(p.numel() for p in build_network(registry.get("small")).parameters())
    theirs = sum(p.numel() for p in build_network(registry.get(name)).parameters())
    assert 0.85 < theirs / ours < 1.15


@pytest.mark.parametrize("name", BASELINES)
def test_fresh_weights_depend_on_the_seed_alone(name: str) -> None:
    recipe, network = _tiny(name)
    again, other = build_network(recipe), build_network(replace(recipe, seed=1))
    same = [torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)]
    differs = [torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True)]
    assert all(same)
    assert not all(differs)


def test_scores_look_at_the_music_beside_them(source: Mixture) -> None:
    """A pair's score is that of the pair alone, whatever else is in the batch."""
    for name in BASELINES:
        recipe, network = _tiny(name)
        batch = _batch(source, recipe)
        network.eval()
        dance, music = network.encode_dance(batch.motion), network.encode_music(batch.audio, 120)
        alone = network.match(network.encode_dance(batch.motion[:1]), network.encode_music(batch.audio[:1], 120))
        assert torch.allclose(network.match(dance, music)[0], alone[0], atol=1e-5)
        assert network.synchrony(dance, music).shape == (8,)


def test_the_one_loop_trains_them(source: Mixture, tmp_path: Path) -> None:
    recipe, fresh = _tiny("avts")
    recipe = replace(recipe, optimiser=replace(recipe.optimiser, steps=3, warmup_steps=1))
    trained = loop.train(recipe, source, tmp_path, Console(quiet=True), "cpu")
    assert isinstance(trained, Avts)
    moved = [torch.equal(a, b) for a, b in zip(trained.parameters(), fresh.parameters(), strict=True)]
    assert not all(moved)
    assert len((tmp_path / "losses.jsonl").read_text().splitlines()) == 3


def test_they_look_at_frames_where_the_recipe_does(records: list[ClipFeatures]) -> None:
    """In training and in the tables; without the frames they say what is missing."""
    recipe, _ = _tiny("lla")
    model = replace(recipe.model, visual_inputs=("rgb",), pyramid_levels=4, pyramid_channels=(2, 2, 4, 4),
                    appearance_size_px=32)  # fmt: skip
    recipe = replace(recipe, model=model, data=replace(recipe.data, batch=2))
    network = build_network(recipe)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    filmed = [
        replace(r, jpegs=(encode_jpeg(picture), encode_jpeg(255 - picture)) * (r.frames // 2)) for r in records[:4]
    ]
    loss, _parts = network.loss(_batch(Mixture(filmed, [], 0.0, 0.5), recipe))  # type: ignore[operator]
    torch.autograd.backward(loss)
    assert network.frame_maps is not None
    assert next(network.frame_maps.parameters()).grad is not None
    assert predict(network, filmed[0]).dance.sequence.shape == (2, 120, 32)
    with pytest.raises(ValueError, match="--frames"):
        predict(network, records[0])


def test_multisensory_needs_shifted_music(source: Mixture) -> None:
    recipe, network = _tiny("multisensory")
    batch = replace(_batch(source, recipe), shifted=None)
    assert isinstance(network, Multisensory)
    with pytest.raises(ValueError, match="avts_from"):
        network.loss(batch)


def test_avts_asks_for_no_more_than_its_margin() -> None:
    """Embeddings that already agree with their own music and lie a margin from the rest cost nothing."""

    class Known(Avts):
        def __init__(self) -> None:
            super().__init__(ModelConfig(d_model=8, heads=2, embed_dim=4), registry.get("avts").features)

        def encode_dance(self, motion, frames=None):  # type: ignore[no-untyped-def]
            return type("C", (), {"embedding": torch.eye(4)})

        def encode_music(self, audio, frames=None):  # type: ignore[no-untyped-def]
            return type("C", (), {"embedding": torch.eye(4)})

    batch = type("B", (), {"motion": torch.zeros(4, 2, 3), "frames": None, "audio": None, "shifted": None,
                           "allowed": ~torch.eye(4, dtype=torch.bool)})  # fmt: skip
    assert MARGIN < 2**0.5
    assert float(Known().loss(batch)[0]) == pytest.approx(0.0, abs=1e-6)  # type: ignore[arg-type]


def test_the_next_allowed_clip_is_the_negative() -> None:
    allowed = torch.tensor([[0, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)
    other, there = another(allowed)
    assert other[:2].tolist() == [2, 2]
    assert there.tolist() == [1.0, 1.0, 0.0]
