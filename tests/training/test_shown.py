"""A network that is shown other motion than it learnt from keeps its weights, and its records follow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from training.data.mixture import Mixture
from training.data.store import Shelf
from training.evaluate import load_run
from training.recipe import Recipe
from training.train import train


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, capture_output=True, timeout=120)


def test_the_run_is_the_same_network_with_other_features(
    source: Mixture, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(tiny("small-synthetic", steps=1), source, tmp_path / "run", Console(quiet=True))
    run("training.shown", tmp_path / "run", tmp_path / "other", "--flow-shape", "both")
    before, after = load_run(tmp_path / "run"), load_run(tmp_path / "other")
    assert before.spec.video.flow_shape == "square"
    assert after.spec.video.flow_shape == "both"
    for mine, theirs in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_records_are_made_of_the_shape_that_is_asked_for(tmp_path: Path) -> None:
    records = {}
    for shape in ("square", "both"):
        words = ("training.preprocess", "generated", tmp_path / shape, "--clips", 1, "--seconds", 3, "--workers", 1)
        run(*words, "--flow-shape", shape)
        (records[shape],) = Shelf(tmp_path / shape).all()
    plain, both = records["square"], records["both"]
    assert plain.between.shape == both.between.shape
    assert not np.allclose(plain.between, both.between, atol=1e-3)
    assert np.corrcoef(plain.between[:, 12], both.between[:, 12])[0, 1] > 0.7
    np.testing.assert_array_equal(plain.audio, both.audio)
