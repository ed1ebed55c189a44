"""Runs one trial of the study, from records to a file of figures."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console

from mudar.atomic_write import write_atomically
from mudar.model.mudar import Mudar
from training.baselines.registry import Network
from training.data.batches import Mixture
from training.data.compact_format import read_records
from training.data.records import ClipFeatures
from training.data.splits import folds
from training.evaluation.downstream.classification import HeadRecipe
from training.evaluation.downstream.color_baseline import Colors, read_colors
from training.evaluation.tables.report import Measurement, TableOptions, measure
from training.fit_beat_filter import attach, fit
from training.sweep.trials import FOLDS, LARGE, Trial, recipe_of
from training.train import train


@dataclass(frozen=True)
class SweepConfig:
    """Says what all trials share. The paths are folders of records, or packed files."""

    out: Path
    generated: Path
    generated_test: Path
    real: Path | None
    device: str = "auto"
    base: str = "small"
    steps: int = 500
    batch: int = 32
    teach: int = 400  # training clips that table 2's head learns from
    head_epochs: int = 70
    colors: tuple[Path, ...] = ()  # files of `training.evaluation.downstream.color_baseline`


@dataclass
class TrialContext:
    """Holds the records in memory, and the tables made of them."""

    config: SweepConfig
    generated: list[ClipFeatures]
    generated_test: list[ClipFeatures]
    real: list[ClipFeatures]
    colors: Colors = field(default_factory=dict)
    sources: dict[tuple[object, ...], Mixture] = field(default_factory=dict)

    @classmethod
    def open(cls, config: SweepConfig) -> TrialContext:
        """Read everything once."""
        generated, generated_test, real = map(read_records, (config.generated, config.generated_test, config.real))
        return cls(config, generated, generated_test, real, read_colors(*config.colors))

    def held_out(self, trial: Trial) -> list[ClipFeatures]:
        """The real clips that this trial never learns from."""
        if trial.domain == "generated":
            return self.real
        held_out_ids = set(folds(self.real, FOLDS, trial.seed, LARGE)[trial.fold])
        return [record for record in self.real if record.clip_id in held_out_ids]

    def source(self, trial: Trial, fraction: float, real_share: float, large_share: float) -> Mixture:
        """What the trial learns from; the last few are kept, since rows share them."""
        key = (trial.domain, trial.seed if trial.domain == "real" else 0, trial.fold, fraction, real_share, large_share)
        if key not in self.sources:
            held_out_ids = {record.clip_id for record in self.held_out(trial)}
            real = [r for r in self.real if r.clip_id not in held_out_ids] if trial.domain == "real" else []
            part = self.generated[: max(round(len(self.generated) * fraction), 1)]
            self.sources.clear()  # one table at a time: many processes share a device
            self.sources[key] = Mixture(part, real, real_share if real else 0.0, large_share)
        return self.sources[key]


def file_of(config: SweepConfig, trial: Trial) -> Path:
    """Names the file of a trial's figures."""
    return config.out / "cells" / f"{trial.name}.json"


def run_trial(context: TrialContext, trial: Trial) -> Path:
    """Trains, measures and writes a trial; one that is there is skipped, one that was killed goes on where it was."""
    config, path = context.config, file_of(context.config, trial)
    if path.exists():
        return path
    began_s = time.monotonic()
    recipe = recipe_of(trial, config.base, config.steps, config.batch)
    source = context.source(trial, recipe.data.fraction, recipe.data.real_share, recipe.data.bachata_share)
    folder = config.out / "runs" / trial.name
    network = train(recipe, source, folder, Console(quiet=True), config.device)
    trained_s = time.monotonic()
    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else config.device
    network = network.to("cpu" if device == "auto" else device)
    measured = _measured(context, trial, network)
    seconds = {"train_s": trained_s - began_s, "measure_s": time.monotonic() - trained_s}
    if trial.row == "full" and trial.domain == "real":
        _write_filtered(context, trial, network, source, seconds)
    _write(config, trial, measured, seconds)
    shutil.rmtree(folder, ignore_errors=True)
    return path


def _write_filtered(
    context: TrialContext, trial: Trial, network: Network, source: Mixture, seconds: dict[str, float]
) -> None:
    """The full system's network once more, with the beat filter that the real clips it learnt from give in closed
    form: a row of its own, so that the ablations stay those of the network."""
    assert isinstance(network, Mudar)
    learnt = [record for record in source.records if record.origin == "real"]
    filtered = attach(network.cpu(), fit(learnt, network.spec.video))
    _write(context.config, replace(trial, row="filter"), _measured(context, trial, filtered), seconds)


def _write(config: SweepConfig, trial: Trial, measured: Measurement, seconds: dict[str, float]) -> None:
    """Writes the trial's file, complete or not at all."""
    path = file_of(config, trial)
    about = {"cell": trial.to_dict(), "steps": config.steps, "batch": config.batch, "base": config.base, **seconds}
    write_atomically(path, json.dumps({**about, "groups": _rounded(measured)}).encode())


def _measured(context: TrialContext, trial: Trial, network: Network) -> Measurement:
    config = context.config
    head = HeadRecipe(epochs=config.head_epochs, seed=trial.seed) if trial.domain == "generated" else None
    records = [*context.generated_test, *context.held_out(trial)]
    colors = context.colors if trial.row == "full" else None  # the same for every network
    return measure(network, records, context.generated[: config.teach], TableOptions(head, colors))


def _rounded(value: object) -> object:
    """Figures to five places: a study's files travel."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
