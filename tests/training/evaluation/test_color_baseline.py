"""The control by color: ridge against its textbook form, and a room that gives its songs away is found out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.data.records import ClipFeatures
from training.evaluation import metrics
from training.evaluation.downstream.color_baseline import (
    DIM,
    RIDGES,
    color_features,
    mean_mel,
    ridge,
    song_scores,
    style_accuracy,
)


def test_color_features_a_plain_picture() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    values = color_features([red, red])
    assert values.shape == (DIM,)
    assert values[15] == values[16] == values[32] == 1.0  # all pixels in red's last bin, green's and blue's first
    assert values[48::3].tolist() == [1.0] * 64


def test_ridge_is_one_of_the_textbook_s() -> None:
    rng = np.random.default_rng(0)
    x, y, at = rng.normal(size=(40, 6)), rng.normal(size=(40, 2)), rng.normal(size=(5, 6))
    z, za = (x - x.mean(0)) / x.std(0), (at - x.mean(0)) / x.std(0)
    book = [za @ np.linalg.solve(z.T @ z + s * np.eye(6), z.T @ (y - y.mean(0))) + y.mean(0) for s in RIDGES]
    values = ridge(x, y, at)
    assert min(np.abs(values - other).max() for other in book) < 1e-8


def test_ridge_finds_what_is_linear_and_leaves_noise_alone() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(80, 10)), rng.normal(size=(10, 3))
    assert np.abs(ridge(x, x @ w, x[:4]) - x[:4] @ w).max() < 0.05
    noise = ridge(x, rng.normal(size=(80, 3)), rng.normal(size=(50, 10)))
    assert noise.std() < 0.6


def _in_rooms(records: list[ClipFeatures], by_song: bool) -> tuple[list[ClipFeatures], dict[str, np.ndarray]]:
    """Forty clips of four songs; each song has its own sound and, if `told`, its own room."""
    rng = np.random.default_rng(2)
    rooms, sounds = rng.normal(size=(4, 12)), rng.normal(size=(4, 80))
    clips, colors = [], {}
    for i in range(40):
        audio = np.tile(np.concatenate([sounds[i % 4], np.zeros(48)]), (10, 1)).astype(np.float32)
        clips.append(replace(records[0], clip_id=f"c{i}", song_id=f"s{i % 4}", style=f"s{i % 4}", audio=audio))
        room = rooms[i % 4] if by_song else rng.normal(size=12)
        colors[f"c{i}"] = (room + rng.normal(scale=0.1, size=12)).astype(np.float32)
    return clips, colors


@pytest.mark.parametrize("by_song", [True, False])
def test_a_room_that_gives_its_song_away_is_found_out(records: list[ClipFeatures], by_song: bool) -> None:
    clips, colors = _in_rooms(records, by_song)
    train, test = clips[:20], clips[20:]
    scores = song_scores(colors, train, test, test[:4], 80)
    ranks = metrics.true_ranks(scores, [r.song_id for r in test], [r.song_id for r in test[:4]])
    right = metrics.recall_at(ranks, 1)
    accuracy = np.mean(style_accuracy(colors, train, test))
    assert (right > 0.9, accuracy > 0.9) == (by_song, by_song)
    assert abs(float(mean_mel(clips[0], 80).mean())) < 1e-6
