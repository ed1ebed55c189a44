"""The loop: every recipe learns a batch, and a run that was killed goes on as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from mudar.spec import FeatureSpec
from training import train as loop
from training import trainer
from training.data.batches import Batch, Mixture, make_batch
from training.data.records import ClipFeatures
from training.loss import _with_silence
from training.recipe import Recipe
from training.recipes import registry

pytestmark = pytest.mark.slow

Tiny = Callable[..., Recipe]
SAME_LOSS = {"data25", "data75", "infonce"}  # as the recipe that they vary
TRAINABLE = ["paper-motion", "small", *(f"small/{name}" for name in registry.ABLATIONS if name not in SAME_LOSS)]


class Always(Mixture):
    """The same clips at every step."""

    def draw(self, rng: np.random.Generator, step: int, count: int) -> NDArray[np.int64]:
        return np.arange(len(self.records))


class Killed(Exception):
    pass


class DiesAt:
    """A source that is killed at its n-th draw."""

    def __init__(self, source: Mixture, draws: int) -> None:
        self.source, self.left, self.open = source, draws, source.open

    def __len__(self) -> int:
        return len(self.source)

    def draw(self, rng: np.random.Generator, step: int, count: int) -> NDArray[np.int64]:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.source.draw(rng, step, count)


@pytest.mark.parametrize("name", TRAINABLE)
def test_every_recipe_learns_a_batch(name: str, records: list[ClipFeatures], tiny: Tiny) -> None:
    recipe = tiny(name, steps=40)
    recipe = replace(recipe, data=replace(recipe.data, joint_every=1))
    batch = make_batch(Always(records, [], 0.0, 0.5), recipe, 0)
    state = trainer.init_state(recipe)
    losses = []
    for _ in range(30):
        loss, _parts = state.module(batch)
        state.optimiser.param_groups[0]["lr"] = 2e-3
        state.optimiser.zero_grad()
        torch.autograd.backward(loss)
        state.optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.8 * losses[0]


def _losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def test_a_killed_run_goes_on_with_the_same_losses(
    source: Mixture, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "WRITE_EVERY", 1)
    recipe = replace(tiny("small", steps=7), model=replace(tiny("small").model, dropout=0.2))
    quiet = Console(quiet=True)
    complete = loop.train(recipe, source, tmp_path / "whole", quiet)
    with pytest.raises(Killed):
        loop.train(recipe, DiesAt(source, 4), tmp_path / "killed", quiet)
    resumed = loop.train(recipe, source, tmp_path / "killed", quiet)
    assert _losses(tmp_path / "killed") == _losses(tmp_path / "whole")
    assert len(_losses(tmp_path / "whole")) == 7
    for mine, theirs in zip(resumed.state_dict().values(), complete.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_another_seed_is_another_run(source: Mixture, tiny: Tiny) -> None:
    one, other = (
        float(trainer.train_step(trainer.init_state(r), [make_batch(source, r, 0)], r)["loss"])
        for r in (tiny("small"), replace(tiny("small"), seed=1))
    )
    assert one != other


def test_avts_begins_when_the_recipe_says(source: Mixture, tiny: Tiny) -> None:
    recipe = replace(tiny("paper-motion", steps=10), loss=replace(registry.get("paper-motion").loss, avts_from=0.7))
    before, after = make_batch(source, recipe, 6), make_batch(source, recipe, 7)
    assert before.shifted is None
    assert after.shifted is not None
    assert after.shifted.shape == after.audio.shape
    assert not torch.equal(after.shifted, after.audio)


def test_a_batch_keeps_its_shapes_and_its_songs_apart(source: Mixture, tiny: Tiny) -> None:
    recipe = tiny("small")
    batch: Batch = make_batch(source, recipe, 0)
    assert batch.motion.shape == (8, 120, 141)
    assert batch.target.shape == batch.mask.shape == (8, 120, len(recipe.model.rhythm_heads))
    assert batch.audio.shape == (4, 960, 128)
    assert not batch.allowed.diagonal().any()


def test_deaf_clips_do_not_change_with_what_others_hear(source: Mixture, tiny: Tiny) -> None:
    """The first part of a batch goes without music, so its logits are those of motion alone."""
    recipe = tiny("small")
    model = trainer.init_state(recipe).network.train()
    batch = make_batch(source, recipe, 0)
    first = len(batch.motion) - len(batch.audio)
    code = _with_silence(model.encode_music(batch.audio, 120), first)
    with_music = model.rhythm_logits(batch.motion, music=code)
    alone = model.rhythm_logits(batch.motion)
    assert torch.allclose(with_music[:first], alone[:first], atol=1e-5)
    assert not torch.allclose(with_music[first:], alone[first:], atol=1e-3)


def test_a_run_that_looks_at_frames_says_that_there_are_none(source: Mixture, tmp_path: Path) -> None:
    recipe = registry.get("paper")
    recipe = replace(recipe, data=replace(recipe.data, batch=2), features=FeatureSpec())
    with pytest.raises(ValueError, match="--frames"):
        loop.train(recipe, source, tmp_path, Console(quiet=True), "cpu")


def test_an_ablation_changes_one_field() -> None:
    base, less = registry.get("small").to_dict(), registry.get("small/data25").to_dict()
    parts = "loss", "data", "optimiser", "model", "features"
    differ = [(part, field) for part in parts for field in base[part] if base[part][field] != less[part][field]]
    assert differ == [("data", "fraction")]
    with pytest.raises(KeyError, match="no recipe"):
        registry.get("small/nonsense")
