"""Defines the paper's run (section 4.1), its open numbers filled in; it needs frames, PWC-Net and a GPU."""

from __future__ import annotations

from dataclasses import replace

from mudar import spec
from mudar.model import config
from training.recipe import DataRecipe, EngineRecipe, LossRecipe, OptimiserRecipe, Recipe


def paper() -> Recipe:
    """Adam 1e-4, batch 384, AVC for 35 epochs of 50, then AVTS; hard onset targets at 8 fps."""
    return Recipe(
        name="paper",
        model=config.paper(),
        features=spec.paper(),
        # AVC up to epoch 35 of 50, AVTS alone from then on; negatives are looked for again after each epoch.
        loss=LossRecipe(target_sigma_s=0.0, avts_from=0.7, avts_weight=1.0, offline_every=194_407 // 384),
        data=DataRecipe(batch=384),
        optimiser=OptimiserRecipe(learning_rate=1e-4, steps=50 * 194_407 // 384, warmup_steps=0, schedule="constant"),
        engine=EngineRecipe(precision="bf16"),
    )


def paper_motion() -> Recipe:
    """The paper's heads, losses and curriculum on motion alone, for Table 1 on a CPU: our features, its estimator."""
    base = paper()
    return replace(
        base,
        name="paper-motion",
        model=replace(
            config.small(), rhythm_heads=("onset",), served_head="onset", estimator_raw=False, estimator_layers=0
        ),
        features=spec.FeatureSpec(),
        loss=replace(base.loss, offline_every=90),
        data=DataRecipe(batch=32),
        optimiser=replace(base.optimiser, learning_rate=1e-3, steps=900, warmup_steps=60),
        engine=EngineRecipe(),
    )
