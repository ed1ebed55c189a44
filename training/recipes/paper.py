"""The paper's run (section 4.1), with its open numbers filled in; needs frames, PWC-Net and a GPU to be worth it."""

from __future__ import annotations

from dataclasses import replace

from mudar import spec
from mudar.model import config
from training.recipe import DataRecipe, LossRecipe, OptimiserRecipe, Recipe


def paper() -> Recipe:
    """Adam 1e-4, batch 384, AVC for 35 epochs of 50, then AVTS; hard onset targets at 8 fps."""
    return Recipe(
        name="paper",
        model=config.paper(),
        features=spec.paper(),
        loss=LossRecipe(target_sigma_s=0.0, avts_from=0.7),
        data=DataRecipe(batch=384),
        optimiser=OptimiserRecipe(learning_rate=1e-4, steps=50 * 194_407 // 384, warmup_steps=0, schedule="constant"),
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
        data=DataRecipe(batch=32),
        optimiser=replace(base.optimiser, learning_rate=1e-3, steps=900, warmup_steps=60),
    )
