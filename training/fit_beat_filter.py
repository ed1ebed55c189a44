"""Fits the beat filter of a trained network on real clips, in closed form.

    python -m training.fit_beat_filter runs/small-synthetic runs/small --real data/real

Ridge regression of the soft beats on a second of motion to either side, along the few directions in which clips move
most: seconds on a CPU, the same weights every time. Each clip is also seen mirrored, faster and slower. Folds, and
what it finds: training/evaluation/folds.py, docs/experiments/BEATS.md.

Shapes: T frames; M motion features; P directions; L = 2 reach + 1 frames; F the filter's heads.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from mudar.features.hoof import mirror
from mudar.model.beat_filter import beat_input, cell_weights
from mudar.model.config import FILTER_HEADS
from mudar.model.mudar import Mudar, build
from mudar.spec import VideoSpec
from training.checkpoint import load_run, save_run
from training.data.records import Array, ClipFeatures, RecordStore, motion_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FilterRecipe:
    """Says how the filter is fitted."""

    reach: int = 12  # frames: 0.8 s at 15 a second
    directions: int = 24  # P
    ridge: float = 1.0  # of the mean square of a feature
    sigma_s: float = 0.035  # of a beat's bump in the target
    stretches: tuple[float, ...] = (0.85, 1.0, 1.18)
    source_power: float = 0.1  # a clip of a source with n clips counts n^-power: rare sources are weighted up


@dataclass(frozen=True)
class Fit:
    """Holds weight (F, M, L) and bias (F,) of the filter's convolution."""

    weight: Floats
    bias: Floats


def fit(records: Sequence[ClipFeatures], video: VideoSpec, recipe: FilterRecipe | None = None) -> Fit:
    """Fits the filter on these records; those without beats teach nothing. ValueError when none has beats."""
    recipe = recipe or FilterRecipe()
    useful = [(record, weight) for record, weight in zip(records, _weights(records, recipe), strict=True)
              if len(record.curves_s()["beat"])]  # fmt: skip
    if not useful:
        raise ValueError("no record has beats")
    directions = _directions(useful, video, recipe)
    size = recipe.directions * (2 * recipe.reach + 1)
    gram, moment = np.zeros((size, size)), np.zeros((size, len(FILTER_HEADS)))
    for record, weight in useful:
        for features, target in _views(record, video, recipe):
            lagged = _lagged(features @ directions, recipe.reach)  # (T, L P)
            gram += weight * (lagged.T @ lagged)
            moment += weight * (lagged.T @ _standard(target))
    taps = np.linalg.solve(gram + recipe.ridge * np.trace(gram) / size * np.eye(size), moment)  # (L P, F)
    by_frame = taps.T.reshape(len(FILTER_HEADS), 2 * recipe.reach + 1, recipe.directions)
    weight = np.einsum("flp,mp->fml", by_frame, directions.astype(np.float64))
    return _calibrated(weight, useful, video, recipe)


def attach(model: Mudar, fit_result: Fit) -> Mudar:
    """Gives a network this filter; its other weights stay."""
    reach = (fit_result.weight.shape[2] - 1) // 2
    filtered = build(replace(model.config, beat_filter_reach=reach), model.spec)
    filter_state = {"beat_filter.filter.weight": torch.from_numpy(fit_result.weight).float(),
                    "beat_filter.filter.bias": torch.from_numpy(fit_result.bias).float()}  # fmt: skip
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("beat_filter.")}
    filtered.load_state_dict({**weights, **filter_state})
    return filtered.eval()


def _weights(records: Sequence[ClipFeatures], recipe: FilterRecipe) -> Floats:
    """How much each clip counts."""
    clips = Counter(record.source for record in records)
    return np.array([float(clips[record.source]) ** -recipe.source_power for record in records])


def _views(record: ClipFeatures, video: VideoSpec, recipe: FilterRecipe) -> Iterator[tuple[Array, Array]]:
    """What the filter sees of a clip (T, M) and its soft beats (T, F): as it is, mirrored, faster and slower."""
    rows, events = motion_rows(record, video), record.curves_s()
    weights = cell_weights(rows, video)
    mirrored = weights.reshape(video.grid, video.grid)[:, ::-1].ravel()
    for stretch in recipe.stretches:
        moved = _stretched(rows, stretch)
        target = np.stack([
            _soft(events[name] / stretch, len(moved), video.fps, recipe.sigma_s) for name in FILTER_HEADS
        ], axis=1)  # fmt: skip
        yield beat_input(moved, video, weights), target
        yield beat_input(mirror(moved, video), video, mirrored), target


def _stretched(rows: Array, stretch: float) -> Array:
    """Rows of a clip that is played `stretch` times as fast: fewer of them, and larger."""
    if stretch == 1.0:
        return rows
    at = np.minimum(np.arange(max(round(len(rows) / stretch), 1)) * stretch, len(rows) - 1)
    low = np.minimum(at.astype(np.intp), max(len(rows) - 2, 0))
    share = (at - low).astype(np.float32)[:, None]
    between = rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share
    return np.asarray(between * np.float32(stretch), np.float32)


def _soft(times_s: Array, frames: int, fps: float, sigma_s: float) -> Array:
    """(frames,): a bump of height 1 at each time."""
    if not len(times_s):
        return np.zeros(frames, np.float32)
    away = np.abs(np.arange(frames)[:, None] / fps - times_s[None]).min(axis=1)
    return np.exp(-0.5 * (away / sigma_s) ** 2).astype(np.float32)


def _directions(useful: Iterable[tuple[ClipFeatures, float]], video: VideoSpec, recipe: FilterRecipe) -> Array:
    """(M, P): the principal directions of motion, each feature first brought to the same spread."""
    moment, frames = np.zeros((video.motion_dim, video.motion_dim)), 0.0
    for record, weight in useful:
        features = beat_input(motion_rows(record, video), video).astype(np.float64)
        moment, frames = moment + weight * (features.T @ features), frames + weight * len(features)
    spread = np.sqrt(np.diag(moment) / frames)
    spread = np.maximum(spread, 0.1 * np.median(spread)) + 1e-9
    _, vectors = np.linalg.eigh(moment / np.outer(spread, spread))
    return np.asarray(vectors[:, -recipe.directions :] / spread[:, None], np.float32)


def _lagged(features: Array, reach: int) -> Array:
    """(T, L P): each frame with its neighbours, earliest first; beyond the ends lies stillness."""
    padded = np.pad(features, ((reach, reach), (0, 0)))
    return np.concatenate([padded[shift : shift + len(features)] for shift in range(2 * reach + 1)], axis=1)


def _standard(target: Array) -> Array:
    """Columns of mean 0 and spread 1, so that each clip asks for the same; an empty one stays 0."""
    spread = target.std(axis=0)
    return np.asarray((target - target.mean(axis=0)) / np.where(spread > 1e-6, spread, np.inf), np.float32)


def _calibrated(
    weight: Floats, useful: Iterable[tuple[ClipFeatures, float]], video: VideoSpec, recipe: FilterRecipe
) -> Fit:
    """Scale and bias by logistic regression, so that the curve reads as the probability of a beat."""
    heads = len(FILTER_HEADS)
    kernel = weight.transpose(2, 1, 0).reshape(-1, heads).astype(np.float32)  # (L M, F)
    logits, truth = [], []
    for record, _ in useful:
        features, target = next(_views(record, video, replace(recipe, stretches=(1.0,))))
        logits.append(_lagged(features, recipe.reach) @ kernel)
        truth.append(target)
    scales, biases = zip(*(_logistic(np.concatenate(logits)[:, h], np.concatenate(truth)[:, h]) for h in range(heads)),
                         strict=True)  # fmt: skip
    return Fit(weight * np.array(scales)[:, None, None], np.array(biases))


def _logistic(x: Array, y: Array, rounds: int = 25) -> tuple[float, float]:
    """(a, b) of sigmoid(a x + b) nearest to y in 0..1, by Newton's method."""
    rows, coefficients = np.stack([x, np.ones_like(x)], axis=1).astype(np.float64), np.array([0.0, -1.0])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(rows @ coefficients, -30, 30)))
        slope, bend = rows.T @ (p - y), (rows * (p * (1 - p))[:, None]).T @ rows
        coefficients = coefficients - np.linalg.solve(bend + 1e-6 * np.eye(2), slope)
    return float(coefficients[0]), float(coefficients[1])


def main() -> None:
    """Fits the filter of the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--hold-out", type=Path, help="a file with one clip id a line: not learnt from")
    args = parser.parse_args()
    without = set(args.hold_out.read_text().split()) if args.hold_out else set()
    real = [record for record in RecordStore(args.real).all() if record.clip_id not in without]
    if not any(len(record.curves_s()["beat"]) for record in real):
        parser.error(
            f"none of the {len(real)} clips of {args.real} has beats in its sound: there is nothing to learn from"
        )
    network = load_run(args.run)
    model = attach(network, fit(real, network.spec.video))
    save_run(args.run, args.out, model)
    Console().print(f"{len(real)} real clips; the network of {args.run} with its beat filter lies in {args.out}")


if __name__ == "__main__":
    main()
