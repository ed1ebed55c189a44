"""Tiny records and recipes: a body that twitches on its beats, and music that says when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mudar.model.config import small
from mudar.model.temporal import Code
from training.data.batches import Mixture
from training.data.records import ClipFeatures
from training.evaluation.inference import ClipPrediction
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


def make_prediction(
    record: ClipFeatures,
    strokes_s: np.ndarray,
    dance: np.ndarray | None = None,
    music: np.ndarray | None = None,
    rhythms: tuple[np.ndarray, np.ndarray] | None = None,
) -> ClipPrediction:
    """What a network would say that finds these strokes and gives these vectors (S, E); its rhythm's are the same."""
    dance, music = (np.zeros((1, 1), np.float32) if rows is None else rows for rows in (dance, music))
    at_s = np.arange(record.frames)[:, None] / 15
    gaps_s = np.abs(at_s - strokes_s[None]).min(axis=1, initial=9.0)
    curve = np.exp(-0.5 * (gaps_s / 0.04) ** 2).astype(np.float32)
    code = lambda rows: Code(torch.zeros(len(rows), 4, 2), torch.from_numpy(rows))  # noqa: E731
    return ClipPrediction(
        record, [], 15.0, ("beat", "onset"), np.stack([curve, curve], 1), curve, code(dance), code(music),
        torch.zeros(len(dance), 4, 0), *(rhythms or (dance, music)), served_head="beat", served_strokes_s=strokes_s,
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
