"""Tiny records and recipes: a body that twitches on its beats, and music that says when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mudar.model.config import small
from training.data.mixture import Mixture
from training.data.records import ClipFeatures
from training.recipe import DataRecipe, OptimiserRecipe, Recipe
from training.recipes import registry


def make_record(index: int, origin: str = "generated", seconds: float = 10.0) -> ClipFeatures:
    rng = np.random.default_rng(index)
    beats = np.arange(rng.uniform(0, 0.5), seconds, 60 / rng.uniform(90, 130)).astype(np.float32)
    frames = round(seconds * 15)
    at = (np.arange(frames - 1) + 0.5) / 15
    burst = np.exp(-0.5 * ((at[:, None] - beats[None]) / 0.05) ** 2).sum(axis=1)
    between = (0.02 * burst[:, None] * rng.uniform(0.5, 1.0, size=(1, 141)) + 1e-3).astype(np.float32)
    audio = np.tile(rng.uniform(-1, 1, size=128).astype(np.float32), (round(seconds * 120) + 1, 1))  # its timbre
    audio[np.round(beats * 120).astype(int), :82] += 2.0
    onsets = np.sort(np.concatenate([beats, beats + np.float32(rng.uniform(0.15, 0.3))]))
    return ClipFeatures(
        f"clip-{index}", f"song-{index // 2}", f"source-{index}", "", origin, seconds, between, audio,
        np.interp(np.arange(frames) / 15, at, burst).clip(0, 1).astype(np.float32), onsets,
        beats if origin == "generated" else beats[:0], beats, beats[::4],
    )  # fmt: skip


@pytest.fixture
def records() -> list[ClipFeatures]:
    return [make_record(i) for i in range(8)]


@pytest.fixture
def source(records: list[ClipFeatures]) -> Mixture:
    return Mixture(records, [], 0.0, 0.5)


def tiny(name: str, steps: int = 6) -> Recipe:
    """The recipe of this name with a network that a test can afford; its losses, heads and rules stay."""
    recipe = registry.get(name)
    width = replace(
        small(), d_model=16, layers=1, heads=2, embed_dim=16, injector_dim=8, estimator_dim=16,
        audio_channels=(2, 2, 4),
        rhythm_heads=recipe.model.rhythm_heads, served_head=recipe.model.served_head, dropout=0.0,
        rhythm_head_kind=recipe.model.rhythm_head_kind, temporal_network=recipe.model.temporal_network,
        estimator_raw=recipe.model.estimator_raw, estimator_layers=min(recipe.model.estimator_layers, 2),
    )  # fmt: skip
    return replace(
        recipe, model=width, data=DataRecipe(batch=8, joint_every=recipe.data.joint_every),
        optimiser=OptimiserRecipe(learning_rate=1e-2, steps=steps, warmup_steps=1, ema=recipe.optimiser.ema),
    )  # fmt: skip


@pytest.fixture(name="tiny")
def tiny_fixture() -> object:
    return tiny
