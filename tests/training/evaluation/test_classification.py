"""Table 2's head: it learns what can be told apart, finds nothing in noise, and keeps the paper's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data.records import ClipFeatures, read_labels
from training.evaluation.downstream.classification import (
    HeadRecipe,
    Segments,
    accuracy,
    fit,
    majority,
    predict,
    segments,
)
from training.evaluation.inference import predict_all
from training.recipes import registry

pytestmark = pytest.mark.slow


def _toy(clips: int, separable: bool, seed: int = 0) -> tuple[Segments, torch.Tensor]:
    """Two segments a clip; class 1 swings at twice the rate of class 0, or both are noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, clips)
    time = np.arange(30) / 30 * 2 * np.pi
    visual = rng.normal(scale=0.3, size=(2 * clips, 30, 4))
    if separable:
        visual[..., 0] += (
            np.abs(np.sin(time[None] * (1 + np.repeat(labels, 2))[:, None] * 2)) * np.repeat(labels, 2)[:, None]
        )
    audio = rng.normal(size=(2 * clips, 30, 3))
    clip = torch.arange(clips).repeat_interleave(2)
    to = torch.float32
    return Segments(torch.tensor(visual, dtype=to), torch.tensor(audio, dtype=to), clip), torch.tensor(labels)


@pytest.mark.parametrize(("separable", "low", "high"), [(True, 0.9, 1.0), (False, 0.25, 0.75)])
def test_the_head_learns_what_is_there(separable: bool, low: float, high: float) -> None:
    features, labels = _toy(60, separable)
    head = fit(features, labels, 2, HeadRecipe(epochs=25))
    fresh, truth = _toy(60, separable, seed=1)
    predicted = predict(head, fresh)
    right = np.mean([predicted[i] == int(truth[i]) for i in range(60)])
    assert low <= right <= high


def test_the_schedule_is_the_paper_s() -> None:
    recipe = HeadRecipe()
    assert (recipe.epochs, recipe.batch, recipe.learning_rate, recipe.drops) == (70, 64, 4e-3, (20, 50))


def test_chance_is_the_commonest_label() -> None:
    assert majority(["a", "b", "a"], ["a", "b", "c", "a"]) == [1.0, 0.0, 0.0, 1.0]


def test_clips_go_through_a_network_to_the_head(records: list[ClipFeatures], tiny) -> None:  # type: ignore[no-untyped-def]
    from training.baselines.registry import build_network

    network = build_network(tiny("small"))
    predictions = list(predict_all(network, records))
    features = segments(predictions)
    assert features.visual.shape[1:] == (30, 16 + 2 * 16 + 1)  # embedding, rhythm features, curve
    assert features.audio.shape[1:] == (30, 16 + 1)
    labels = ["fast" if i % 2 else "slow" for i in range(len(records))]
    assert set(accuracy(predictions, predictions, labels, labels, HeadRecipe(epochs=2))) <= {0.0, 1.0}
    without = build_network(registry.get("avts"))
    assert segments(list(predict_all(without, records[:1]))).visual.shape[2] == 160 + 1


def test_labels_are_read_off_the_table(tmp_path) -> None:  # type: ignore[no-untyped-def]
    table = tmp_path / "clips.csv"
    table.write_text(
        "file,notes,label\nbachata/a--b.mp4,couple; step class spin; room,\nx/y.mp4,solo,ballet\nz.mp4,,\n"
    )
    assert read_labels(table) == {"bachata_a--b": "spin", "x_y": "ballet"}
