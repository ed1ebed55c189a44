"""Finds recipes by name; an ablation is a base with one field changed: `<base>/<ablation>`, such as `small/bce`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from training.recipe import Recipe
from training.recipes.baselines import avts, lla, multisensory
from training.recipes.paper import paper, paper_motion
from training.recipes.small import small, small_synthetic

BASES: Final[dict[str, Callable[[], Recipe]]] = {
    "paper": paper,
    "paper-motion": paper_motion,
    "small": small,
    "small-synthetic": small_synthetic,
    "multisensory": multisensory,
    "avts": avts,
    "lla": lla,
}

ABLATIONS: Final[dict[str, Callable[[Recipe], Recipe]]] = {
    "bce": lambda r: replace(r, loss=replace(r.loss, rhythm="bce"), model=replace(r.model, rhythm_head_kind="bce")),
    "regression": lambda r: replace(
        r, loss=replace(r.loss, rhythm="regression"), model=replace(r.model, rhythm_head_kind="regression")
    ),
    "crf": lambda r: replace(r, loss=replace(r.loss, rhythm="crf"), model=replace(r.model, rhythm_head_kind="crf")),
    # Without the rhythm a step that hears no music would teach nothing, so all of them hear it.
    "no-rhythm": lambda r: replace(r, loss=replace(r.loss, rhythm_weight=0.0), data=replace(r.data, joint_every=1)),
    "no-implicit": lambda r: replace(r, loss=replace(r.loss, implicit_weight=0.0)),
    "triplet": lambda r: replace(r, loss=replace(r.loss, implicit="triplet")),
    "infonce": lambda r: replace(r, loss=replace(r.loss, implicit="infonce")),
    "data25": lambda r: replace(r, data=replace(r.data, fraction=0.25)),
    "data75": lambda r: replace(r, data=replace(r.data, fraction=0.75)),
    "offline": lambda r: replace(r, loss=replace(r.loss, implicit="triplet", offline_every=100)),
    "bf16": lambda r: replace(r, engine=replace(r.engine, precision="bf16")),
    # Flow that needs nobody's weights, where the paper's is PWC-Net's.
    "dis": lambda r: replace(r, features=replace(r.features, video=replace(r.features.video, flow="dis"))),
    "tcn": lambda r: replace(r, model=replace(r.model, temporal_network="tcn")),
}


def names() -> list[str]:
    """Every name that `get` knows."""
    return [base + suffix for base in BASES for suffix in ("", *(f"/{a}" for a in ABLATIONS))]


def get(name: str) -> Recipe:
    """The recipe of this name. Raises KeyError with what there is."""
    base, _, ablation = name.partition("/")
    if base not in BASES or (ablation and ablation not in ABLATIONS):
        raise KeyError(f"no recipe {name!r}; there are {', '.join(names())}")
    recipe = BASES[base]()
    return replace(ABLATIONS[ablation](recipe), name=name) if ablation else recipe
