"""Batches by tensors, against plain numpy: what is read, how it is bent, and that motion, music and truth stay one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mudar.features.hoof import mirror
from mudar.model.inputs import motion_input
from mudar.spec import FeatureSpec
from training.data import windows as read
from training.data.augment import Plan, draw, make_plan
from training.data.batches import Batch, Mixture, Part, make_batch
from training.data.ragged import Ragged, Table, make_table
from training.data.records import ClipFeatures
from training.data.windows import WindowCoordinates
from training.recipe import Augmentation, Recipe
from training.recipes.small import BENT

SPEC = FeatureSpec()
Tiny = Callable[..., Recipe]


@pytest.fixture
def table(records: list[ClipFeatures]) -> Table:
    return make_table([*records, replace(records[0], between=records[0].between[:40])], SPEC.video)


def draw_plan(seed: int, clips: np.ndarray, table: Table, augmentation: Augmentation) -> Plan:
    return make_plan(
        draw(np.random.default_rng(seed), len(clips), SPEC, augmentation), clips, table, SPEC, augmentation
    )


def plain(table: Table, clip: int, start_s: float, stretch: float) -> Plan:
    """The window of one clip, not bent."""
    plan = draw_plan(0, np.array([clip]), table, Augmentation())
    return replace(plan, start_s=np.array([start_s]), stretch=np.array([stretch]))


@given(st.integers(0, 2), st.lists(st.floats(-3.0, 12.0), min_size=1, max_size=6))
def test_rows_are_read_between_places_and_not_beyond_the_ends(clip: int, at: list[float]) -> None:
    parts = [np.random.default_rng(i).normal(size=(n, 2)).astype(np.float32) for i, n in enumerate((9, 1, 4))]
    rows = Ragged.of(parts).read(torch.tensor([clip]), torch.tensor([at], dtype=torch.float64))[0]
    for column in range(2):
        expected = np.interp(at, np.arange(len(parts[clip])), parts[clip][:, column])
        assert np.allclose(rows[:, column], expected, atol=1e-5)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_a_window_is_the_clip_read_at_its_own_pace(records: list[ClipFeatures], table: Table, stretch: float) -> None:
    plan = plain(table, 2, 0.71, stretch)
    motion, inside = read.motion(table, WindowCoordinates.of(plan, table, SPEC), plan)
    rows = motion_input(records[2].between, SPEC.video)
    at = (0.71 + np.arange(120) / 15 * stretch) * 15
    assert np.array_equal(inside[0].numpy(), (at <= len(rows) - 1).astype(np.float32))
    for column in (0, 12, 140):
        expected = stretch * np.interp(at, np.arange(len(rows)), rows[:, column]) * inside[0].numpy()
        assert np.allclose(motion[0, :, column], expected, atol=1e-4)


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.25])
def test_a_stretched_window_keeps_motion_music_and_truth_together(
    records: list[ClipFeatures], table: Table, stretch: float
) -> None:
    plan = plain(table, 0, 0.7, stretch)
    cut = WindowCoordinates.of(plan, table, SPEC)
    motion, inside = read.motion(table, cut, plan)
    target = read.soft_events(table, cut, ("beat", "onset"), 0.035)
    known = inside[0] > 0
    assert np.corrcoef(motion[0, known, 12], target[0, known, 0])[0, 1] > 0.8
    heard = read.audio(table, cut)[0, :, 0]
    beats = cut.frames_of(torch.from_numpy(records[0].beats_s)[None].double())[0] * 8
    near = beats[(beats > 8) & (beats < 790)].round().long()
    assert torch.stack([heard[b - 1 : b + 2].max() for b in near]).mean() > 3 * heard.mean()


def test_soft_and_hard_targets_are_what_their_words_say(records: list[ClipFeatures], table: Table) -> None:
    cut = WindowCoordinates.of(plain(table, 1, 0.31, 1.1), table, SPEC)
    at = (records[1].onsets_s.astype(np.float64) - 0.31) / 1.1 * 15
    nearest_s = np.abs(np.arange(120)[:, None] - at).min(axis=1) / 15
    soft = read.soft_events(table, cut, ("onset",), 0.035)[0, :, 0]
    assert np.allclose(soft, np.exp(-0.5 * (nearest_s / 0.035) ** 2), atol=1e-5)
    hard = read.soft_events(table, cut, ("onset",), 0.0)[0, :, 0]
    index = np.round(at).astype(int)
    assert sorted(set(index[(index >= 0) & (index < 120)])) == torch.nonzero(hard)[:, 0].tolist()


def test_music_played_faster_has_its_tempogram_moved(table: Table) -> None:
    spec = SPEC.audio
    step = np.log(spec.tempo_max_bpm / spec.tempo_min_bpm) / (spec.tempogram_bins - 1)
    one_bin = float(np.exp(step))
    still = read.audio(table, WindowCoordinates.of(plain(table, 3, 0.0, 1.0), table, SPEC))[
        0, 0, -spec.tempogram_bins :
    ]
    fast = read.audio(table, WindowCoordinates.of(plain(table, 3, 0.0, one_bin), table, SPEC))[
        0, 0, -spec.tempogram_bins :
    ]
    assert torch.allclose(fast[1:], still[:-1], atol=1e-4)


def test_outside_of_a_short_clip_there_is_neither_motion_nor_sound(table: Table) -> None:
    plan = plain(table, 8, 0.0, 1.0)
    cut = WindowCoordinates.of(plan, table, SPEC)
    motion, inside = read.motion(table, cut, plan)
    assert inside[0].sum() == 41
    assert not motion[0, 41:].any()
    late = read.audio(table, cut.shifted(torch.tensor([5.0], dtype=torch.float64)))[0]
    assert (late[-100:, :80] == -1).all()
    assert not late[-100:, 80:].any()


def test_a_mirrored_window_is_the_mirror_of_the_window(table: Table) -> None:
    plan = draw_plan(1, np.arange(8), table, Augmentation(mirror=1.0))
    straight = draw_plan(1, np.arange(8), table, Augmentation())
    flipped, plain_motion = (read.motion(table, WindowCoordinates.of(p, table, SPEC), p)[0] for p in (plan, straight))
    assert not torch.allclose(flipped, plain_motion)
    assert np.allclose(flipped, mirror(plain_motion.numpy(), SPEC.video), atol=1e-5)


def test_a_moved_grid_keeps_what_stays_in_the_picture(table: Table) -> None:
    clips = np.zeros(40, np.int64)
    plan = draw_plan(3, clips, table, Augmentation(move_cells=1.0))
    straight = draw_plan(3, clips, table, Augmentation())
    moved, still = (read.motion(table, WindowCoordinates.of(p, table, SPEC), p)[0][..., 13:] for p in (plan, straight))
    moved, still = (x.unflatten(-1, (4, 4, 8)) for x in (moved, still))
    down, up = (moved[:, :, 1:], still[:, :, :-1]), (moved[:, :, :-1], still[:, :, 1:])
    right, left = (moved[:, :, :, 1:], still[:, :, :, :-1]), (moved[:, :, :, :-1], still[:, :, :, 1:])
    ways = torch.stack([(a - b).abs().flatten(1).amax(1) < 1e-6 for a, b in (down, up, right, left)])
    assert ways.any(dim=0).all()  # each window is moved by one cell, in one of the four ways
    assert ways.any(dim=1).all()  # and all four ways occur


def test_lost_lines_glitches_gain_and_noise_leave_their_marks(table: Table) -> None:
    def bent_motion(**bent: float) -> torch.Tensor:
        augmentation = Augmentation(**bent)  # type: ignore[arg-type]
        plan = draw_plan(5, np.zeros(200, np.int64), table, augmentation)
        plan = replace(plan, start_s=np.zeros(200))
        return read.motion(table, WindowCoordinates.of(plan, table, SPEC), plan, augmentation.noise_sd)[0]

    straight = bent_motion()
    lost = bent_motion(drop_cells=1.0)[..., 13:].unflatten(-1, (4, 4, 8)).abs().sum(dim=(1, 4)) == 0
    assert (lost.sum(dim=(1, 2)) == 4).all()
    assert (lost.all(dim=1).any(dim=1) | lost.all(dim=2).any(dim=1)).all()
    again = (bent_motion(glitch=0.1)[:, 1:] == straight[:, :-1]).all(dim=2).float().mean()
    assert 0.07 < float(again) < 0.14
    gain = (bent_motion(gain_sd=0.15)[..., 12].mean(1) / straight[..., 12].mean(1)).log()
    assert 0.12 < float(gain.std()) < 0.18
    noise = (bent_motion(noise_sd=0.15) / straight.clamp_min(1e-9)).log()[straight > 1e-3]
    assert 0.145 < float(noise.std()) < 0.155


def test_the_seed_and_the_step_are_the_batch(source: Mixture, tiny: Tiny) -> None:
    recipe = tiny("small")
    recipe = replace(recipe, data=replace(recipe.data, augmentation=BENT))
    one, same, later = make_batch(source, recipe, 3), make_batch(source, recipe, 3), make_batch(source, recipe, 6)
    assert torch.equal(one.motion, same.motion)
    assert torch.equal(one.audio, same.audio)
    assert not torch.equal(one.motion, later.motion)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch(source: Mixture, tiny: Tiny, count: int) -> None:
    recipe = tiny("small")
    recipe = replace(recipe, loss=replace(recipe.loss, avts_from=0.0), data=replace(recipe.data, augmentation=BENT))
    batch = make_batch(source, recipe, 3)
    parts = [make_batch(source, recipe, 3, part=Part(i, count)) for i in range(count)]
    first = len(batch.motion) - len(batch.audio)
    each = first // count
    for name in ("motion", "target", "mask"):
        joined = [getattr(p, name)[:each] for p in parts] + [getattr(p, name)[each:] for p in parts]
        assert torch.equal(torch.cat(joined), getattr(batch, name))
    for field in fields(Batch):
        if field.name in {"audio", "shifted", "shifted_allowed", "onsets", "songs"}:
            assert torch.equal(torch.cat([getattr(p, field.name) for p in parts]), getattr(batch, field.name))


def test_a_batch_that_cannot_be_shared_out_is_refused(source: Mixture, tiny: Tiny) -> None:
    with pytest.raises(ValueError, match=r"data\.batch"):
        make_batch(source, tiny("small"), 0, part=Part(0, 3))


def test_rare_sources_are_drawn_as_often_as_the_recipe_says(records: list[ClipFeatures]) -> None:
    real = [replace(r, origin="real", source="room" if i < 6 else r.source) for i, r in enumerate(records)]
    drawn = Mixture(records, real, 0.5, 0.25).draw(np.random.default_rng(0), 0, 4000)
    assert (drawn >= 8).sum() == 2000
    assert 0.22 < ((drawn >= 8) & (drawn < 14)).sum() / 2000 < 0.28
    assert (Mixture([], real, 0.5, 0.25).draw(np.random.default_rng(0), 0, 50) < 8).all()
