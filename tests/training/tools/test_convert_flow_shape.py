"""A network that is shown other motion than it learnt from keeps its weights, and its records follow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mudar.errors import ModelError
from mudar.model.mudar import build
from mudar.spec import FeatureSpec
from training.checkpoint import load_run
from training.data.batches import Mixture
from training.data.compact_format import pack, unpack
from training.data.ragged import make_table
from training.data.records import ClipFeatures, RecordStore, load_record, save_record
from training.evaluation.inference import predict, predict_all
from training.fit_beat_filter import FilterRecipe, fit
from training.recipe import Recipe
from training.train import train

pytestmark = pytest.mark.slow


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, capture_output=True, timeout=120)


def test_the_run_is_the_same_network_with_other_features(
    source: Mixture, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(tiny("small-synthetic", steps=1), source, tmp_path / "run", Console(quiet=True))
    run("training.tools.convert_flow_shape", tmp_path / "run", tmp_path / "other", "--flow-shape", "both")
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
        (records[shape],) = RecordStore(tmp_path / shape).all()
    plain, both = records["square"], records["both"]
    assert plain.between.shape == both.between.shape
    assert not np.allclose(plain.between, both.between, atol=1e-3)
    assert (plain.flow_shape, both.flow_shape) == ("square", "both")
    assert np.corrcoef(plain.between[:, 12], both.between[:, 12])[0, 1] > 0.7
    np.testing.assert_array_equal(plain.audio, both.audio)


def test_records_of_another_shape_are_refused_wherever_a_network_meets_them(
    records: list[ClipFeatures], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny("small-synthetic")
    network = build(recipe.model, recipe.features)
    other = [replace(record, flow_shape="both") for record in records]
    for use in (
        lambda some: predict(network, some[0]),
        lambda some: list(predict_all(network, some)),
        lambda some: fit(some, network.spec.video, FilterRecipe(reach=2, directions=2, stretches=(1.0,))),
        lambda some: make_table(some, network.spec.video),
    ):
        use(records)
        with pytest.raises(ModelError, match="motion of shape both") as refused:
            use(other)
        assert "--flow-shape square" in refused.value.hint


def test_a_records_shape_outlives_its_file_and_its_pack(records: list[ClipFeatures], tmp_path: Path) -> None:
    both = replace(records[0], flow_shape="both")
    assert load_record(save_record(tmp_path, both)).flow_shape == "both"
    pack([both, records[1]], FeatureSpec(), tmp_path / "some.zip")
    assert [record.flow_shape for record in unpack(tmp_path / "some.zip")] == ["both", "square"]


def test_a_record_from_before_shapes_is_square(records: list[ClipFeatures], tmp_path: Path) -> None:
    path = save_record(tmp_path, records[0])
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    meta = json.loads(arrays.pop("meta").tobytes())
    del meta["flow_shape"]
    np.savez(path, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    assert load_record(path).flow_shape == "square"
