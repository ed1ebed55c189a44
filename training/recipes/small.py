"""Defines the runs of `mudar-small`: motion only, 15 fps, a CPU and minutes.

What is served: the network of `small_synthetic`, shown flow of pictures in their own shape too
(`training.tools.convert_flow_shape`), and
a beat filter that `training.fit_beat_filter` fits on real clips.
`small` mixes real clips into its batches instead, which was no better on people that it had not seen; it is here to be
compared with.
"""

from __future__ import annotations

from dataclasses import replace

from mudar.model import config
from mudar.spec import FeatureSpec
from training.recipe import Augmentation, DataRecipe, LossRecipe, OptimiserRecipe, Recipe

BENT = Augmentation(
    stretch=(0.8, 1.25), mirror=0.5, gain_sd=0.15, noise_sd=0.15, move_cells=0.3, drop_cells=0.1, glitch=0.02
)


def small_synthetic() -> Recipe:
    """Trains on generated dancers only."""
    return Recipe(
        name="small-synthetic",
        # Dilated up to 32 frames: ±4 s, since one beat alone says little and a run of them much.
        model=replace(config.small(), estimator_layers=6),
        features=FeatureSpec(),
        loss=LossRecipe(
            implicit="infonce",
            implicit_weight=0.05,
            rhythm_weight=10.0,
            head_weights=(("beat", 2.0), ("onset", 0.25)),
            avts_from=0.85,
        ),
        data=DataRecipe(batch=32, joint_every=3, augmentation=BENT),
        optimiser=OptimiserRecipe(learning_rate=1.5e-3, weight_decay=0.02, steps=6000, warmup_steps=60, ema=0.99),
    )


def small() -> Recipe:
    """Trains on generated dancers and real clips."""
    base = small_synthetic()
    return replace(base, name="small", data=replace(base.data, real_share=0.25))
