"""The beat filter: which cells it looks at, what it sees, and that a network without one is what it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mudar.features.hoof import mirror
from mudar.model.beat_filter import BeatFilter, beat_input, cell_weights
from mudar.model.config import FILTER_HEADS, ModelConfig, small
from mudar.model.mudar import build
from mudar.spec import FeatureSpec, VideoSpec

SPEC = VideoSpec()
START, DIRECTIONS = SPEC.hoof_bins + 1, SPEC.grid_directions


def rows_of(seconds: float = 20.0, regular: int = 5) -> np.ndarray:
    """A clip in which one cell moves twice a second, and the others as much, at random."""
    rng = np.random.default_rng(0)
    frames = round(seconds * SPEC.fps)
    at_s = np.arange(frames) / SPEC.fps
    rows = rng.uniform(0, 1, size=(frames, SPEC.motion_dim)).astype(np.float32)
    beat = np.exp(-0.5 * ((at_s[:, None] - np.arange(0, seconds, 0.5)) / 0.05) ** 2).sum(axis=1)
    cell = slice(START + regular * DIRECTIONS, START + (regular + 1) * DIRECTIONS)
    rows[:, cell] = beat[:, None] + 0.1 * rng.uniform(size=(frames, DIRECTIONS))
    return rows


def test_a_cell_that_repeats_counts_most() -> None:
    weights = cell_weights(rows_of(), SPEC)
    assert int(weights.argmax()) == 5
    assert weights[5] > 3 * np.delete(weights, 5).max()
    assert np.mean(weights**2) == pytest.approx(1)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_clip_too_short_to_repeat_is_looked_at_evenly(frames: int) -> None:
    assert cell_weights(rows_of()[:frames], SPEC).tolist() == [1.0] * SPEC.grid**2
    assert beat_input(rows_of()[:frames], SPEC).shape == (frames, SPEC.motion_dim)


def test_what_does_not_move_is_zero() -> None:
    assert not beat_input(np.zeros((60, SPEC.motion_dim), np.float32), SPEC).any()
    assert not beat_input(np.ones((60, SPEC.motion_dim), np.float32), SPEC).any()


def test_a_mirrored_clip_is_seen_mirrored() -> None:
    rows = rows_of()
    mirrored = np.asarray(mirror(rows, SPEC))
    np.testing.assert_allclose(beat_input(mirrored, SPEC), mirror(beat_input(rows, SPEC), SPEC), atol=1e-5)


def test_without_a_grid_the_whole_is_seen() -> None:
    spec = replace(SPEC, grid=0)
    rows = rows_of()[:, : spec.motion_dim]
    np.testing.assert_allclose(beat_input(rows, spec)[1:], 2 * np.diff(np.log1p(rows), axis=0), atol=1e-6)


@pytest.mark.slow
def test_the_filter_is_linear_and_the_same_at_every_moment() -> None:
    torch.manual_seed(0)
    filter_ = BeatFilter(3, SPEC)
    x, y = torch.randn(2, 1, 40, SPEC.motion_dim)
    bias = filter_(torch.zeros_like(x))
    torch.testing.assert_close(filter_(x + y) - bias, filter_(x) + filter_(y) - 2 * bias)
    later = filter_(torch.roll(x, 5, dims=1))
    torch.testing.assert_close(later[:, 10:30], filter_(x)[:, 5:25])
    assert filter_(x).shape == (1, 40, len(FILTER_HEADS))


def test_a_network_without_a_filter_has_no_part_of_it() -> None:
    config = replace(small(), d_model=16, layers=1, heads=2, embed_dim=16)
    bare = build(config, FeatureSpec())
    assert bare.filtered(rows_of()) is None
    assert not [name for name in bare.state_dict() if name.startswith("beat_filter")]
    card = config.to_dict()
    del card["beat_filter_reach"]  # as cards of before
    assert ModelConfig.from_dict(card) == config
    curves = build(replace(config, beat_filter_reach=12), FeatureSpec()).filtered(rows_of())
    assert curves is not None
    assert curves.shape == (300, len(FILTER_HEADS))
    assert 0 < curves.min() < curves.max() < 1
