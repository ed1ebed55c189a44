"""Defines the runs of the systems that the paper compares with: one million parameters each.

All clips are heard (they know no rhythm head to train without music), and each keeps its own paper's curriculum.
"""

from __future__ import annotations

from dataclasses import replace

from mudar.model import config
from mudar.model.config import ModelConfig
from training.recipe import Network, Recipe
from training.recipes.small import small_synthetic


def multisensory() -> Recipe:
    """Owens & Efros: shifted music from the first step on."""
    return _baseline("multisensory", _streams(128), avts_from=0.0)


def avts() -> Recipe:
    """Korbar et al.: easy negatives for half of the run, then some hard ones."""
    return _baseline("avts", _streams(160), avts_from=0.5)


def lla() -> Recipe:
    """Cheng et al.: clip matching, then synchrony beside it."""
    return _baseline("lla", _streams(128), avts_from=0.5)


def _streams(width: int) -> ModelConfig:
    return replace(config.small(), d_model=width, layers=4, temporal_network="tcn", audio_gate_share=0.0)


def _baseline(network: Network, model: ModelConfig, avts_from: float) -> Recipe:
    base = small_synthetic()
    return replace(
        base,
        name=network,
        network=network,
        model=model,
        loss=replace(base.loss, rhythm_weight=0.0, implicit_weight=1.0, avts_from=avts_from),
        data=replace(base.data, joint_every=1),
    )
