"""A figure and how sure it is: means over clips with bootstrap intervals, paired differences. numpy only.

A clip's value is first averaged over the seeds that saw it, so that the interval speaks of clips, not of runs; the
spread over seeds stands apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation import metrics

Values = Mapping[str, float]  # clip (or song) to its value


@dataclass(frozen=True)
class Figure:
    """A mean, its 95 % interval over clips, the standard deviation over seeds (NaN for one), and how many clips."""

    mean: float
    low: float
    high: float
    seeds_sd: float
    clips: int

    def text(self, scale: float = 1.0, digits: int = 3) -> str:
        """`.412 (.380 … .450)`, or a dash for no clips."""
        if not self.clips:
            return "–"
        mean, low, high = (f"{scale * value:.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} ({low} … {high})"


def merge(runs: Sequence[Values]) -> dict[str, float]:
    """Each clip's mean over the runs that have it; NaN does not count."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for clip, value in run.items():
            if not np.isnan(value):
                found.setdefault(clip, []).append(value)
    return {clip: float(np.mean(values)) for clip, values in found.items()}


def figure(seeds: Sequence[Values]) -> Figure:
    """One figure of one system: each seed's values by clip (a seed's folds merged)."""
    each = list(merge(seeds).values())
    mean, low, high = metrics.bootstrap(each)
    of_seeds = [float(np.nanmean(list(seed.values()))) for seed in seeds if seed and not _empty(seed)]
    spread = float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else float("nan")
    return Figure(mean, low, high, spread, len(each))


def difference(ours: Sequence[Values], theirs: Sequence[Values]) -> Figure:
    """The mean of ours less theirs over the clips that both have, with its interval."""
    one, other = merge(ours), merge(theirs)
    gaps = [one[clip] - other[clip] for clip in one if clip in other]
    return Figure(*metrics.bootstrap(gaps), float("nan"), len(gaps))


def _empty(seed: Values) -> bool:
    return all(np.isnan(value) for value in seed.values())
