"""Shards: what goes in comes out, by us and by WebDataset; every clip once an epoch; kills lose and double nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mudar.spec import FeatureSpec, paper
from tests.waiting import wait_until
from training.data.batches import Part, make_batch
from training.data.extract import FrameSource, GeneratedJob, extract
from training.data.records import ClipFeatures, decode_jpegs, encode_jpeg
from training.data.shard_writer import ShardWriter
from training.data.shards import Shards, pieces, write_part
from training.data.splits import hold_out, list_clips
from training.distributed import SINGLE
from training.loader import BatchFactory, ThroughputMeter, load_batches
from training.preprocess import Extractor, generated_jobs, real_jobs, run, unique_names
from training.recipe import DataRecipe, Recipe
from training.recipes import registry
from training.trainer import init_state, train_step

pytestmark = pytest.mark.slow

SPEC = FeatureSpec()
QUIET = Console(quiet=True)
CPU = torch.device("cpu")


def packed(folder: Path, records: list[ClipFeatures], in_each: int = 3, spec: FeatureSpec = SPEC) -> Path:
    """Shards of a few clips each."""
    packer = ShardWriter(folder, spec)
    for i, record in enumerate(records):
        write_part(packer.parts / f"{record.clip_id}.tar", [record])
        packer.add(packer.parts / f"{record.clip_id}.tar")
        if i % in_each == in_each - 1:
            packer.pack()
    packer.pack()
    return folder


def with_frames(record: ClipFeatures, side: int = 32) -> ClipFeatures:
    """Each frame of one grey, the number of the frame."""
    return replace(
        record, jpegs=tuple(encode_jpeg(np.full((side, side, 3), t, np.uint8)) for t in range(record.frames))
    )


def test_what_goes_into_a_shard_comes_out(records: list[ClipFeatures], tmp_path: Path) -> None:
    given = [with_frames(record) for record in records]
    shards = Shards(packed(tmp_path, given))
    assert [clip["clip"] for clip in shards.clips] == [record.clip_id for record in given]
    for clip in (0, 5):
        read = shards.load(clip)
        assert read.jpegs == given[clip].jpegs
        assert (read.song_id, read.source) == (given[clip].song_id, given[clip].source)
        assert np.array_equal(read.strokes_s, given[clip].strokes_s)
        assert np.allclose(read.audio, given[clip].audio, atol=2e-3)


def test_webdataset_reads_them_too(records: list[ClipFeatures], tmp_path: Path) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    packed(tmp_path, [with_frames(record) for record in records[:4]])
    samples: list[dict[str, object]] = []
    for path in sorted(tmp_path.glob("*.tar")):
        with path.open("rb") as stream:
            samples += group_by_keys(tar_file_expander([{"url": str(path), "stream": stream}]))
    assert [sample["__key__"] for sample in samples] == [record.clip_id for record in records[:4]]
    assert {"npz", "0000.jpg", "0149.jpg"} <= set(samples[0])


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_every_clip_comes_once_in_every_epoch_on_any_number_of_ranks(
    records: list[ClipFeatures], tmp_path: Path, tiny: Callable[..., Recipe], ranks: int
) -> None:
    shards = Shards(packed(tmp_path, [replace(r, clip_id=f"{r.clip_id}-{k}") for r in records for k in range(3)]))
    batch, epochs = 24, 3
    epochs_drawn: list[list[int]] = [[] for _ in range(epochs)]
    for step in range(epochs * len(shards) // batch):
        clips = shards.draw(np.random.default_rng(0), step, batch)
        parts = [clips[Part(rank, ranks).of(0, batch)] for rank in range(ranks)]
        assert len({len(part) for part in parts}) == 1
        epochs_drawn[step * batch // len(shards)] += np.concatenate(parts).tolist()
    assert all(sorted(epoch) == list(range(len(shards))) for epoch in epochs_drawn)
    assert epochs_drawn[0] != epochs_drawn[1]
    assert epochs_drawn[0] != sorted(epochs_drawn[0])


def test_a_batch_that_does_not_divide_the_epoch_loses_no_clip(records: list[ClipFeatures], tmp_path: Path) -> None:
    shards = Shards(packed(tmp_path, records))
    drawn = np.concatenate([shards.draw(np.random.default_rng(0), step, 3) for step in range(8)])
    assert Counter(drawn.tolist()) == dict.fromkeys(range(8), 3)


def test_held_out_clips_and_all_their_pieces_stay_away(records: list[ClipFeatures], tmp_path: Path) -> None:
    long = pieces(replace(records[0], clip_id="long"), 15.0, 120.0, longest_s=4.0)
    assert [p.clip_id for p in long] == ["long~000", "long~001", "long~002"]
    shards = Shards(packed(tmp_path, [*long, *records]), without=frozenset({"long", "clip-3"}))
    assert {clip["clip"] for clip in shards.clips} == {f"clip-{i}" for i in range(8)} - {"clip-3"}


def test_a_split_of_shards_leaks_no_song_and_no_source(records: list[ClipFeatures], tmp_path: Path) -> None:
    mixed = [replace(r, source=f"source-{i // 4}") for i, r in enumerate(records)]
    cut = [piece for r in mixed for piece in pieces(r, 15.0, 120.0, longest_s=6.0)]
    held_out = frozenset(hold_out(list_clips(packed(tmp_path, cut)), 0.5, seed=1))
    training_clips = Shards(tmp_path, without=held_out).clips
    away = [clip for clip in Shards(tmp_path).clips if clip["clip"] in held_out]
    assert len(training_clips) + len(away) == 16
    for what in ("song", "source"):
        assert not {clip[what] for clip in training_clips} & {clip[what] for clip in away}


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("one/a.mp4", "one/a.mov", "two/a.mp4", "two/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jobs = unique_names([job for folder in ("one", "two") for job in real_jobs(tmp_path / folder, None)])
    assert len({job.clip_id for job in jobs}) == 4
    assert jobs[3].clip_id == "b"


def test_pieces_are_the_clip(records: list[ClipFeatures]) -> None:
    clip = with_frames(records[2])
    cut = pieces(clip, 15.0, 120.0, longest_s=3.5)
    assert sum(p.frames for p in cut) == clip.frames
    assert sum((p.jpegs for p in cut), ()) == clip.jpegs
    starts = np.cumsum([0, *[p.frames for p in cut]])[:-1] / 15
    beats = np.concatenate([p.beats_s + start for p, start in zip(cut, starts, strict=True)])
    assert np.allclose(beats, clip.beats_s, atol=1e-5)
    for part, start in zip(cut, starts, strict=True):
        first = round(start * 120)
        assert np.array_equal(part.audio, clip.audio[first : first + len(part.audio)])
        assert np.array_equal(part.between, clip.between[round(start * 15) :][: len(part.between)])


def test_loader_processes_give_the_batches_that_are_made_on_the_spot(
    records: list[ClipFeatures], tmp_path: Path, tiny: Callable[..., Recipe]
) -> None:
    shards, recipe, meter = Shards(packed(tmp_path, records)), tiny("small"), ThroughputMeter()
    ahead = list(load_batches(BatchFactory(shards, recipe, SINGLE), range(2, 5), 1, meter))
    assert len(ahead) == 3
    for step, (batch,) in zip((2, 3, 4), ahead, strict=True):
        assert torch.equal(batch.motion, make_batch(shards, recipe, step).motion)
    assert meter.clips == 24
    assert meter.workers == 1
    assert "loader" in meter.summary()


def test_shards_of_other_features_are_refused(records: list[ClipFeatures], tmp_path: Path) -> None:
    shards = Shards(packed(tmp_path, records))
    with pytest.raises(ValueError, match="--recipe"):
        shards.open(np.array([0]), paper(), CPU)
    with pytest.raises(ValueError, match="another folder"):
        ShardWriter(tmp_path, paper())
    with pytest.raises(ValueError, match="--shards"):
        Shards(tmp_path / "nothing")


def test_whatever_a_kill_left_undone_is_done(records: list[ClipFeatures], tmp_path: Path) -> None:
    """A kill after the shard, before its index; another after the index, before the parts went."""
    packed(tmp_path, records[:3])
    (tmp_path / "shard-000000.json").unlink()
    write_part(tmp_path / "parts" / "clip-1.tar", [records[1]])
    write_part(tmp_path / "parts" / "clip-5.tar", [records[5]])
    (tmp_path / "shard-000001.growing").write_bytes(b"half")
    packer = ShardWriter(tmp_path, SPEC)
    assert packer.done == {"clip-0", "clip-1", "clip-2", "clip-5"}
    packer.pack()
    assert [c["clip"] for c in Shards(tmp_path).clips] == ["clip-0", "clip-1", "clip-2", "clip-5"]
    assert not list((tmp_path / "parts").iterdir())


def test_preprocessing_killed_for_real_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "training.preprocess", "generated", str(out), "--clips", "1000", "--seconds", "2",
               "--shards", "--workers", "2"]  # fmt: skip
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(lambda: killed.poll() is not None or len(list(out.glob("parts/*.tar"))) >= 2, every_s=0.02)
    assert killed.poll() is None
    killed.kill()
    killed.wait()
    there = {path.stem for path in out.glob("parts/*.tar")}
    assert 2 <= len(there) < 1000
    jobs = generated_jobs(len(there) + 3, 0, 2.0)
    written = {path: path.stat().st_mtime_ns for path in out.glob("parts/*.tar")}
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "bad.avi").write_text("no video")
    extractor = Extractor(out, SPEC, shards=True)
    assert list(run([*jobs, *real_jobs(tmp_path / "clips", None)], extractor, 1, QUIET)) == ["bad"]
    names = [clip["clip"] for clip in Shards(out).clips]
    assert len(names) == len(set(names))
    assert {job.clip_id for job in jobs} <= set(names)
    shard = next(out.glob("shard-*.tar"))
    assert all(stamp < shard.stat().st_mtime_ns for stamp in written.values())
    assert "bad" in (out / "failed.json").read_text()


def test_frames_are_kept_in_step_with_the_motion(tmp_path: Path) -> None:
    spec = replace(paper(), video=replace(paper().video, flow="dis", frame_size_px=32))
    record = extract(GeneratedJob("clip", 3, 3, 2.0), spec, FrameSource(frames=True))
    assert len(record.jpegs) == record.frames == 16
    shown = decode_jpegs(record.jpegs, np.array([0, 15, 99]))
    assert shown.shape == (3, 32, 32, 3)
    assert np.array_equal(shown[1], shown[2])


def test_a_window_shows_the_frames_of_its_own_moments(records: list[ClipFeatures], tmp_path: Path) -> None:
    """Every frame's grey says which frame it is; mirrored windows show mirrored frames."""
    shards = Shards(packed(tmp_path, [with_frames(record) for record in records]))
    recipe = replace(registry.get("small"), data=DataRecipe(batch=4))
    recipe = replace(recipe, model=replace(recipe.model, visual_inputs=("rgb",)))
    batch = make_batch(shards, recipe, 0)
    assert batch.frames is not None
    assert batch.frames.shape == (4, 120, 3, 32, 32)
    numbers = batch.frames.float().mean(dim=(2, 3, 4))
    assert torch.allclose(numbers.diff(dim=1), torch.ones(4, 119), atol=0.6)


def frames_recipe(steps: int = 12) -> Recipe:
    """The paper's own run in small: its injector over a pyramid, its heads, losses and curriculum."""
    base = registry.get("paper")
    model = replace(
        base.model, d_model=32, heads=2, layers=1, embed_dim=16, estimator_dim=32, appearance_size_px=32,
        pyramid_channels=(4, 8, 8), pyramid_levels=3, audio_channels=(2, 4), audio_time_strides=(4, 2), dropout=0.0,
    )  # fmt: skip
    video = replace(base.features.video, flow="dis", frame_size_px=32)
    optimiser = replace(base.optimiser, learning_rate=3e-3, steps=steps, warmup_steps=0)
    return replace(
        base, model=model, features=replace(base.features, video=video), optimiser=optimiser,
        data=DataRecipe(batch=4), loss=replace(base.loss, avts_from=0.0),
    )  # fmt: skip


def test_the_paper_s_network_learns_a_batch_of_frames(tmp_path: Path) -> None:
    recipe = frames_recipe()
    jobs = [GeneratedJob(f"clip-{seed}", seed, seed, 9.0) for seed in range(4)]
    shards = Shards(
        packed(tmp_path, [extract(j, recipe.features, FrameSource(frames=True)) for j in jobs], spec=recipe.features)
    )
    batch, state = make_batch(shards, recipe, 0), init_state(recipe)
    assert batch.frames is not None
    assert batch.frames.shape == (4, 64, 3, 32, 32)
    thrifty = replace(recipe, engine=replace(recipe.engine, activation_checkpointing=True))
    again = float(train_step(init_state(thrifty), [batch], thrifty)["loss"])
    assert again == float(train_step(init_state(recipe), [batch], recipe)["loss"])
    losses = []
    for _ in range(40):
        state.step = 0
        losses.append(float(train_step(state, [batch], recipe)["loss"]))
    assert min(losses) < 0.7 * losses[0]
    pyramid = [w.grad for w in state.network.frame_maps.parameters()]  # type: ignore[union-attr]
    assert all(grad is not None and float(grad.abs().sum()) > 0 for grad in pyramid)
