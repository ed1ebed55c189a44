"""Plans the study's trials: which system, on which data, with which seed and fold, and in which order.

On generated data every run learns from the same training clips and is measured on other seeds, songs and dancers, and,
unseen, on all real clips. On real data a run learns from generated clips and the real ones of the other folds, by
source and song, and is measured on its own fold; another seed parts the clips anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

from training.recipe import Recipe
from training.recipes import registry

Domain = Literal["generated", "real"]
FOLDS: Final = 2
LARGE: Final = frozenset({"erickrex"})  # the one source too large to give away whole: parted by song alone

# Row of the tables to (ablation of the base, or a network of its own), the most telling rows first.
ROWS: Final[dict[str, str]] = {
    "full": "",
    "no-rhythm": "no-rhythm",
    "multisensory": "multisensory",
    "avts": "avts",
    "lla": "lla",
    "bce": "bce",
    "regression": "regression",
    "crf": "crf",
    "data25": "data25",
    "data75": "data75",
}
_URGENCY: Final = {name: index // 5 for index, name in enumerate(ROWS)}


@dataclass(frozen=True)
class Trial:
    """One run. fold: of the real clips, the part that is held out; 0 on generated data."""

    row: str
    domain: Domain
    seed: int
    fold: int = 0

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.domain}-{self.row}-seed{self.seed}-fold{self.fold}"

    def to_dict(self) -> dict[str, str | int]:
        """For its file."""
        return asdict(self)


def plan(rows: list[str], seeds: int, domains: tuple[Domain, ...] = ("generated", "real")) -> list[Trial]:
    """Lists every trial, the most telling first: by row, then seed, then domain."""
    trials = [
        Trial(row, domain, seed, fold)
        for row in rows
        for domain in domains
        for seed in range(seeds)
        for fold in range(FOLDS if domain == "real" else 1)
    ]
    return sorted(trials, key=lambda c: (_URGENCY[c.row], c.seed, c.domain, c.fold, rows.index(c.row)))


def recipe_of(trial: Trial, base: str, steps: int, batch: int) -> Recipe:
    """Makes the trial's recipe: `base` for real data, `base`-synthetic for generated; baselines as in their papers."""
    bases = {"generated": f"{base}-synthetic", "real": base}
    what, home = ROWS[trial.row], registry.get(bases[trial.domain])
    if what in registry.BASES:
        recipe = registry.get(what)
        recipe = replace(recipe, features=home.features, data=replace(home.data, joint_every=1))
    else:
        recipe = registry.get(f"{bases[trial.domain]}/{what}") if what else home
    shorter = steps / recipe.optimiser.steps
    optimiser = replace(
        recipe.optimiser,
        steps=steps,
        warmup_steps=max(round(recipe.optimiser.warmup_steps * min(shorter, 1.0)), 1),
    )
    return replace(
        recipe, name=trial.name, seed=trial.seed, optimiser=optimiser, data=replace(recipe.data, batch=batch)
    )
