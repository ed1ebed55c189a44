"""The study: a cell is one file and is done once; its plan puts telling rows first; its report has every system."""

from __future__ import annotations

import json
import queue
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mudar.spec import FeatureSpec
from training.baselines.registry import build_network
from training.data.compact_format import pack
from training.data.records import ClipFeatures, save_record
from training.evaluation.tables.report import markdown
from training.recipe import Recipe
from training.recipes import registry
from training.sweep import run, sweep
from training.sweep.run import SweepConfig, TrialContext, file_of, run_trial
from training.sweep.trials import FOLDS, ROWS, Trial, plan, recipe_of

pytestmark = pytest.mark.slow


def test_telling_rows_come_first_and_every_cell_once() -> None:
    cells = plan(list(ROWS), 3)
    assert len(cells) == len({trial.name for trial in cells}) == len(ROWS) * 3 * (1 + FOLDS)
    first = {trial.row for trial in cells[: len(cells) // 2]}
    assert first == {"full", "no-rhythm", "multisensory", "avts", "lla"}
    assert {trial.seed for trial in cells[: len(cells) // 6]} == {0}


@pytest.mark.parametrize("domain", ["generated", "real"])
def test_rows_differ_in_what_they_say_alone(domain: str) -> None:
    full = recipe_of(Trial("full", domain, 1), "small", 300, 16)  # type: ignore[arg-type]
    assert (full.optimiser.steps, full.data.batch, full.seed) == (300, 16, 1)
    assert full.data.real_share == (0.0 if domain == "generated" else registry.get("small").data.real_share)
    for row in ROWS:
        recipe = recipe_of(Trial(row, domain, 1), "small", 300, 16)  # type: ignore[arg-type]
        assert recipe.features == full.features
        assert recipe.data.real_share == full.data.real_share
        assert recipe.network == (row if row in registry.BASES else "mudar")
        build_network(recipe)


@pytest.fixture
def config(records: list[ClipFeatures], tmp_path: Path) -> SweepConfig:
    """Eight generated clips to learn from, eight to be measured on, sixteen real ones, packed."""
    for i, record in enumerate(records):
        styled = replace(record, style="ab"[i % 2])
        save_record(tmp_path / "train", styled)
        save_record(tmp_path / "test", replace(styled, clip_id=f"test-{i}"))
    real = [
        replace(records[i % 8], clip_id=f"mixed_{i}", song_id=f"real-{i}", source=f"who-{i // 2}", origin="real",
                strokes_s=records[0].strokes_s[:0]) for i in range(16)
    ]  # fmt: skip
    pack(real, FeatureSpec(), tmp_path / "real.zip")
    folders = (tmp_path / "out", tmp_path / "train", tmp_path / "test", tmp_path / "real.zip")
    return SweepConfig(*folders, "cpu", steps=2, batch=4, head_epochs=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that a test can afford; everything else of the recipes stays."""

    def tiny(trial: Trial, base: str, steps: int, batch: int) -> Recipe:
        recipe = recipe_of(trial, base, steps, batch)
        model = replace(recipe.model, d_model=16, layers=1, heads=2, embed_dim=16, injector_dim=8, estimator_dim=8,
                        audio_channels=(2, 2, 4), estimator_layers=1)  # fmt: skip
        return replace(recipe, model=model)

    monkeypatch.setattr(run, "recipe_of", tiny)


def test_cells_become_files_and_files_a_report(config: SweepConfig) -> None:
    context = TrialContext.open(config)
    for trial in plan(["full", "avts"], 1):
        run_trial(context, trial)
    path = file_of(config, Trial("full", "generated", 0))
    before = path.stat().st_mtime_ns
    run_trial(context, Trial("full", "generated", 0))
    assert path.stat().st_mtime_ns == before
    assert not list((config.out / "runs").glob("*"))
    groups = json.loads(path.read_text())["groups"]
    assert set(groups) == {"generated", "real, mixed"}
    assert len(groups["generated"]["table1"]["onset"]["f1"]) == 8
    assert len(groups["real, mixed"]["table1"]["beat"]["f1"]) == 16
    assert file_of(config, Trial("filter", "real", 0, 1)).exists()
    said = markdown(config.out / "cells")
    for word in (
        "MuDaR with the beat filter",
        "Table 1, the paper's target",
        "Table 2",
        "Table 3",
        "Synchrony",
        "AVTS",
        "chance",
        "trained with real",
    ):
        assert word in said


def test_a_real_fold_is_never_learnt_from(config: SweepConfig) -> None:
    context = TrialContext.open(config)
    every: list[str] = []
    for fold in range(FOLDS):
        trial = Trial("full", "real", 0, fold)
        held_out = context.held_out(trial)
        source = context.source(trial, 1.0, 0.5, 0.5)
        learnt = [r for r in source.records if r.origin == "real"]
        assert learnt
        assert not {r.clip_id for r in held_out} & {r.clip_id for r in learnt}
        assert not {r.song_id for r in held_out} & {r.song_id for r in learnt}
        assert not {r.source for r in held_out} & {r.source for r in learnt}
        every += [r.clip_id for r in held_out]
    assert sorted(every) == sorted(r.clip_id for r in context.real)


def test_a_cell_in_trouble_does_not_end_the_study(config: SweepConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(context: TrialContext, trial: Trial) -> None:
        raise ArithmeticError(f"no {trial.row}")

    cells: queue.Queue[Trial] = queue.Queue()
    for row in ("full", "avts"):
        cells.put(Trial(row, "generated", 0))
    monkeypatch.setattr(sweep, "run_trial", fails)
    sweep.work(config, cells, np.inf)
    troubles = sorted((config.out / "cells").glob("*.trouble.txt"))
    assert len(troubles) == 2
    assert "no avts" in troubles[0].read_text()


def test_no_time_no_cells(config: SweepConfig) -> None:
    cells = [Trial("full", "generated", 0)]
    assert sweep.run(config, cells, 1, 0.0, Console(quiet=True)) == cells
    assert not (config.out / "cells").exists()
