"""A run becomes a checkpoint that loads, with its figures on the card; a worse one is refused, noise is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from model_store.loader import load
from model_store.registry import Registry
from mudar.errors import ModelError, WorseThanServed
from mudar.model.checkpoint import Card
from mudar.model.mudar import build
from training import publish
from training.checkpoint import load_run
from training.data.batches import Mixture
from training.data.records import ClipFeatures
from training.evaluation.evaluate import retrieval_figures
from training.evaluation.inference import predict
from training.recipe import Recipe
from training.train import train

from .conftest import make_prediction

pytestmark = pytest.mark.slow

CLIP = publish.PublishOptions((2.0, 160, 90))


def test_worse_is_refused_and_noise_is_not(records: list[ClipFeatures]) -> None:
    rng = np.random.default_rng(0)
    good = {"generated": [make_prediction(r, r.strokes_s) for r in records]}
    late = {"generated": [make_prediction(r, r.strokes_s + 0.1) for r in records]}
    with pytest.raises(WorseThanServed, match="generated"):
        publish.require_no_worse(late, good)
    publish.require_no_worse(good, late)
    one, other = (
        [make_prediction(r, r.strokes_s[rng.uniform(size=len(r.strokes_s)) > 0.3]) for r in records] for _ in range(2)
    )
    publish.require_no_worse({"generated": one}, {"generated": other})
    publish.require_no_worse({"generated": other}, {"generated": one})


def test_a_run_goes_to_the_shelf_with_its_figures(
    records: list[ClipFeatures], source: Mixture, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe, quiet, root = tiny("small", steps=2), Console(quiet=True), tmp_path / "shelf"
    trained = train(recipe, source, tmp_path / "run", quiet)
    card = Card("mudar-tiny", "0.0.1", recipe.features, recipe.model, data="tiny records", licence="none")
    publish.publish(tmp_path / "run", card, records, root, quiet, CLIP)
    loaded = load("mudar-tiny@served", [root])
    assert loaded.card.metrics["generated"]["rhythm"]["clips"] == len(records)
    assert 0 <= loaded.card.metrics["generated"]["rhythm"]["chance_70ms"] <= 1
    assert loaded.model.config == recipe.model
    for mine, theirs in zip(loaded.model.state_dict().values(), trained.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    publish.publish(
        tmp_path / "run", replace(card, version="0.0.2"), records, root, quiet, CLIP
    )  # as good: not refused
    assert load("mudar-tiny", [root]).card.version == "0.0.2"


def test_a_served_network_of_other_features_is_measured_on_its_own(
    records: list[ClipFeatures], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    """What a network makes of features it was not made for is no measure of it."""
    quiet, root, recipe = Console(quiet=True), tmp_path / "shelf", tiny("small", steps=1)
    shape = "square" if recipe.features.video.flow_shape == "both" else "both"
    other = replace(recipe, features=replace(recipe.features, video=replace(recipe.features.video, flow_shape=shape)))
    theirs = [replace(record, flow_shape=shape) for record in records]
    for name, each, own_records in (("old", other, theirs), ("new", recipe, records)):
        train(each, Mixture(own_records, [], 0.0, 0.5), tmp_path / name, quiet)
    old, new = (Card("mudar-tiny", version, each.features, each.model, licence="none")
                for version, each in (("1.0.0", other), ("2.0.0", recipe)))  # fmt: skip
    publish.publish(tmp_path / "old", old, theirs, root, quiet, CLIP)
    with pytest.raises(ModelError, match="other features"):
        publish.publish(tmp_path / "new", new, records, root, quiet, CLIP)
    with pytest.raises(ModelError, match="other clips"):
        publish.publish(tmp_path / "new", new, records, root, quiet, replace(CLIP, served_records=theirs[1:]))
    assert load("mudar-tiny@served", [root]).card.version == "1.0.0"
    publish.publish(tmp_path / "new", new, records, root, quiet, replace(CLIP, served_records=theirs))
    assert load("mudar-tiny@served", [root]).card.version == "2.0.0"


def test_predictions_of_records_are_what_the_embedder_makes(
    records: list[ClipFeatures], source: Mixture, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    """The curve of a clip longer than a window, by hand: each frame the weighted mean of the windows over it."""
    train(tiny("small", steps=1), source, tmp_path, Console(quiet=True))
    prediction = predict(load_run(tmp_path), records[0])
    assert prediction.curves.shape == (150, 4)
    assert prediction.dance_embedding.shape == prediction.music_embedding.shape == (2, 16)
    assert np.allclose(np.linalg.norm(prediction.music_embedding, axis=1), 1.0, atol=1e-5)


def test_retrieval_finds_what_is_alike(records: list[ClipFeatures]) -> None:
    """Each dance has its own song's vectors: R@1 = 1 at every λ; with one song's vectors for all, chance."""
    some = [replace(r, song_id=f"s{i}") for i, r in enumerate(records)]
    eye = np.eye(len(some), dtype=np.float32)
    perfect = [make_prediction(r, eye[0], *[eye[i : i + 1]] * 2) for i, r in enumerate(some)]
    figures = retrieval_figures(perfect)
    assert all(figures[f"lambda_{lam}"]["r1"] == 1.0 for lam in (0.0, 0.5, 1.0))
    same = [make_prediction(r, eye[0], *[eye[:1]] * 2) for r in some]
    assert retrieval_figures(same)["lambda_0.5"]["r1"] == 0.0
    assert publish.best_lambda({"g": {"retrieval": figures}}) == 0.5


def test_a_rank_that_falls_is_refused_too(records: list[ClipFeatures]) -> None:
    some = [replace(r, song_id=f"s{i}") for i, r in enumerate(records)]
    eye = np.eye(len(some), dtype=np.float32)
    right = [make_prediction(r, r.strokes_s, *[eye[i : i + 1]] * 2) for i, r in enumerate(some)]
    other = np.roll(eye, 1, axis=0)  # each dance finds its neighbour's song
    wrong = [make_prediction(r, r.strokes_s, eye[[i]], other[[i]]) for i, r in enumerate(some)]
    publish.require_no_worse({"real, mixed": right}, {"real, mixed": right})
    with pytest.raises(WorseThanServed, match="rank of the right song"):
        publish.require_no_worse({"real, mixed": wrong}, {"real, mixed": right})


def test_two_names_stand_side_by_side_with_their_size_and_speed(
    records: list[ClipFeatures], source: Mixture, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe, quiet, root = tiny("small", steps=1), Console(quiet=True), tmp_path / "shelf"
    train(recipe, source, tmp_path / "run", quiet)
    for name in ("mudar-small", "mudar-small-synthetic"):
        card = Card(name, "9.0.0", recipe.features, recipe.model, licence="none")
        publish.publish(tmp_path / "run", card, records, root, quiet, CLIP)
    assert [card.name for card in Registry([root]).cards()] == ["mudar-small", "mudar-small-synthetic"]
    for name in ("mudar-small", "mudar-small-synthetic"):
        measured = load(name, [root]).card.metrics["size_and_speed"]
        assert measured["bytes"] < 15_000_000
        assert measured["realtime_factor_2_cores_720p"] > 0


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., Recipe]) -> None:
    recipe = tiny("small")
    network = build(recipe.model, recipe.features)
    assert publish.require_small(network) == sum(4 * p.numel() for p in network.parameters())
    monkeypatch.setattr(publish, "LARGEST_BYTES", 1000)
    with pytest.raises(ModelError, match="MB"):
        publish.require_small(network)
