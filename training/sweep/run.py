"""One cell of the study, from records to a file of figures; and what a process keeps between cells."""

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
    """What all cells share. The paths are folders of records, or packed files."""

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
    """The records in memory, and the tables made of them."""

    told: SweepConfig
    generated: list[ClipFeatures]
    generated_test: list[ClipFeatures]
    real: list[ClipFeatures]
    colors: Colors = field(default_factory=dict)
    sources: dict[tuple[object, ...], Mixture] = field(default_factory=dict)

    @classmethod
    def open(cls, told: SweepConfig) -> TrialContext:
        """Read everything once."""
        generated, generated_test, real = map(read_records, (told.generated, told.generated_test, told.real))
        return cls(told, generated, generated_test, real, read_colors(*told.colors))

    def held_out(self, cell: Trial) -> list[ClipFeatures]:
        """The real clips that this cell never learns from."""
        if cell.domain == "generated":
            return self.real
        kept = set(folds(self.real, FOLDS, cell.seed, LARGE)[cell.fold])
        return [record for record in self.real if record.clip_id in kept]

    def source(self, cell: Trial, fraction: float, real_share: float, large_share: float) -> Mixture:
        """What the cell learns from; the last few are kept, since rows share them."""
        key = (cell.domain, cell.seed if cell.domain == "real" else 0, cell.fold, fraction, real_share, large_share)
        if key not in self.sources:
            held = {record.clip_id for record in self.held_out(cell)}
            real = [r for r in self.real if r.clip_id not in held] if cell.domain == "real" else []
            part = self.generated[: max(round(len(self.generated) * fraction), 1)]
            self.sources.clear()  # one table at a time: many processes share a device
            self.sources[key] = Mixture(part, real, real_share if real else 0.0, large_share)
        return self.sources[key]


def file_of(told: SweepConfig, cell: Trial) -> Path:
    """Where a cell's figures are, once they are."""
    return told.out / "cells" / f"{cell.name}.json"


def run_trial(desk: TrialContext, cell: Trial) -> Path:
    """Train, measure, write; a cell that is there is left alone, and one that was killed goes on where it was."""
    told, path = desk.told, file_of(desk.told, cell)
    if path.exists():
        return path
    began_s = time.monotonic()
    recipe = recipe_of(cell, told.base, told.steps, told.batch)
    source = desk.source(cell, recipe.data.fraction, recipe.data.real_share, recipe.data.bachata_share)
    folder = told.out / "runs" / cell.name
    network = train(recipe, source, folder, Console(quiet=True), told.device)
    trained_s = time.monotonic()
    device = "cuda" if told.device == "auto" and torch.cuda.is_available() else told.device
    network = network.to("cpu" if device == "auto" else device)
    measured = _measured(desk, cell, network)
    seconds = {"train_s": trained_s - began_s, "measure_s": time.monotonic() - trained_s}
    if cell.row == "full" and cell.domain == "real":
        _write_filtered(desk, cell, network, source, seconds)
    _write(told, cell, measured, seconds)
    shutil.rmtree(folder, ignore_errors=True)
    return path


def _write_filtered(
    desk: TrialContext, cell: Trial, network: Network, source: Mixture, seconds: dict[str, float]
) -> None:
    """The full system's network once more, with the beat filter that the real clips it learnt from give in closed
    form: a row of its own, so that the ablations stay those of the network."""
    assert isinstance(network, Mudar)
    learnt = [record for record in source.records if record.origin == "real"]
    filtered = attach(network.cpu(), fit(learnt, network.spec.video))
    _write(desk.told, replace(cell, row="filter"), _measured(desk, cell, filtered), seconds)


def _write(told: SweepConfig, cell: Trial, measured: Measurement, seconds: dict[str, float]) -> None:
    """The cell's file, whole or not at all."""
    path = file_of(told, cell)
    about = {"cell": cell.to_dict(), "steps": told.steps, "batch": told.batch, "base": told.base, **seconds}
    write_atomically(path, json.dumps({**about, "groups": _rounded(measured)}).encode())


def _measured(desk: TrialContext, cell: Trial, network: Network) -> Measurement:
    told = desk.told
    head = HeadRecipe(epochs=told.head_epochs, seed=cell.seed) if cell.domain == "generated" else None
    records = [*desk.generated_test, *desk.held_out(cell)]
    colors = desk.colors if cell.row == "full" else None  # the same for every network
    return measure(network, records, desk.generated[: told.teach], TableOptions(head, colors))


def _rounded(value: object) -> object:
    """Figures to five places: a study's files travel."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
