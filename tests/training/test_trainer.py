"""The engine: real kills, two real processes, pieces of a batch, offline negatives, schedules, and what it logs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.waiting import wait_until
from training import train as loop
from training.data.batches import HardNegatives, Mixture, Part, make_batch
from training.data.pairs import avc_allowed
from training.data.records import ClipFeatures, RecordStore, save_record
from training.distributed import SINGLE
from training.hard_negatives import embed_clips, mine
from training.recipe import OptimiserRecipe, Recipe
from training.train import RuntimeConfig, train
from training.trainer import init_state, learning_rate, train_step

pytestmark = pytest.mark.slow

Tiny = Callable[..., Recipe]
QUIET = Console(quiet=True)
HERE = Path(__file__).parent
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_trainer import run
run(Path({records!r}), Path({out!r}), {steps})
"""


def full(recipe: Recipe) -> Recipe:
    """Everything that a run may do, from its first steps on and whenever it ends: AVC, offline negatives, AVTS."""
    loss = replace(recipe.loss, implicit="triplet", implicit_weight=1.0, avts_from=0.0, offline_every=3, offline_keep=3)
    return replace(
        recipe, loss=loss, data=replace(recipe.data, joint_every=1),
        optimiser=replace(recipe.optimiser, schedule="constant"),
    )  # fmt: skip


def run(records: Path, out: Path, steps: int) -> None:
    """A run on one thread that saves after every step."""
    torch.set_num_threads(1)
    source = Mixture(RecordStore(records).all(), [], 0.0, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY_S", 0.0)
        patch.setattr(loop, "WRITE_EVERY", 1)
        train(full(tiny_recipe("small", steps)), source, out, QUIET, "cpu")


def tiny_recipe(name: str, steps: int) -> Recipe:
    """conftest's, in another process too."""
    recipe: Recipe = import_module("conftest").tiny(name, steps)
    return recipe


def losses(out: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def start(records: Path, out: Path, steps: int, **environment: str) -> subprocess.Popen[bytes]:
    """`run` in a process of its own."""
    code = RUN.format(tests=str(HERE), steps=steps, records=str(records), out=str(out))
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environment})


@pytest.fixture
def shelf(records: list[ClipFeatures], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(HERE))
    for record in records:
        save_record(tmp_path / "records", record)
    threads = torch.get_num_threads()
    yield tmp_path / "records"
    torch.set_num_threads(threads)


def test_a_run_killed_for_real_goes_on_with_the_same_losses(shelf: Path, tmp_path: Path) -> None:
    killed = start(shelf, tmp_path / "killed", 10_000)
    state = tmp_path / "killed" / "state.pt"
    wait_until(lambda: killed.poll() is not None or len(losses_so_far(tmp_path / "killed")) >= 5, every_s=0.01)
    assert killed.poll() is None
    killed.kill()
    killed.wait()
    reached = torch.load(state, weights_only=True)["step"]
    assert 4 <= reached < 10_000
    run(shelf, tmp_path / "killed", reached + 5)
    run(shelf, tmp_path / "whole", reached + 5)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == reached + 5


def losses_so_far(out: Path) -> list[str]:
    """Whole lines of a file that is being written."""
    written = out / "losses.jsonl"
    return written.read_text().split("\n")[:-1] if written.exists() else []


def test_two_processes_are_one(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(shelf, tmp_path / "one", 8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    other = start(shelf, tmp_path / "two", 8, RANK="1", **world)
    for name, value in {**world, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    run(shelf, tmp_path / "two", 8)
    assert other.wait() == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == list(two) == list(range(1, 9))
    assert list(two.values()) == pytest.approx(list(one.values()), rel=1e-4)  # sums in another order, through Adam
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("one", "two")]
    assert torch.equal(states[0]["hardest"], states[1]["hardest"])
    for name, weight in states[0]["average"].items():
        assert torch.allclose(weight, states[1]["average"][name], atol=2e-4), name


def test_a_batch_in_pieces_gives_the_gradients_of_the_whole(source: Mixture, tiny: Tiny) -> None:
    recipe = replace(tiny("small"), loss=replace(tiny("small").loss, implicit_weight=0.0))
    recipe = replace(recipe, data=replace(recipe.data, joint_every=1))

    def gradients(pieces: int) -> list[torch.Tensor]:
        state = init_state(recipe)
        train_step(state, [make_batch(source, recipe, 0, part=Part(i, pieces)) for i in range(pieces)], recipe)
        return [weight.grad for weight in state.network.parameters() if weight.grad is not None]

    for one, other in zip(gradients(1), gradients(2), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("changed", [{"activation_checkpointing": True}, {"precision": "bf16"}])
def test_how_a_step_is_computed_changes_little(source: Mixture, tiny: Tiny, changed: dict[str, object]) -> None:
    plain = full(tiny("small"))
    other = replace(plain, engine=replace(plain.engine, **changed))  # type: ignore[arg-type]
    one, two = (float(train_step(init_state(r), [make_batch(source, r, 0)], r)["loss"]) for r in (plain, other))
    assert two == pytest.approx(one, rel=0.02 if "precision" in changed else 1e-6)


def test_the_hardest_negatives_are_the_nearest_that_16_allows(source: Mixture, tiny: Tiny) -> None:
    recipe = full(tiny("small"))
    network = init_state(recipe).network
    negatives = mine(network, source, recipe, 3, SINGLE)
    heard = embed_clips(network, source, np.arange(8), recipe, 3)
    allowed = avc_allowed(heard.onsets, heard.songs, recipe.loss.onset_alpha)
    likeness = heard.dance @ heard.music.T
    for clip in range(8):
        free = torch.nonzero(allowed[clip])[:, 0]
        expected = free[likeness[clip, free].argsort(descending=True)][:3].tolist()
        assert [c for c in negatives.clips[clip].tolist() if c >= 0] == expected


def test_a_batch_hears_one_of_the_hardest_negatives(source: Mixture, tiny: Tiny) -> None:
    recipe = full(tiny("small"))
    others = np.array([[(clip + 4) % 8, -1] for clip in range(8)])
    hardest = HardNegatives(others, np.full(8, 0.5))
    batch = make_batch(source, recipe, 0, hardest=hardest)
    clips = source.draw(np.random.default_rng([recipe.seed, 31, 0]), 0, 8)[4:]
    table = source.table(recipe.features)
    assert batch.hard is not None
    for i, clip in enumerate(clips):
        first = int(table.audio.first[(clip + 4) % 8]) + 60  # 0.5 s at 120 a second
        assert torch.equal(batch.hard[i, :, :80], table.audio.values[first : first + 960, :80].float())
    lonely = make_batch(source, recipe, 0, hardest=HardNegatives(np.full((8, 2), -1), np.zeros(8)))
    assert not lonely.hard_allowed.any()


def test_schedules_by_hand() -> None:
    def rates(schedule: str, *steps: int) -> list[float]:
        recipe = OptimiserRecipe(learning_rate=1.0, steps=110, warmup_steps=10, schedule=schedule)  # type: ignore[arg-type]
        return [learning_rate(recipe, step) for step in steps]

    assert rates("constant", 0, 4, 10, 109) == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert rates("cosine", 10, 60, 110) == pytest.approx([1.0, 0.5, 0.0])
    assert rates("step", 10, 65, 66, 93, 94) == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])


def test_the_board_holds_curves_and_pictures(
    source: Mixture, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(loop, "WRITE_EVERY", 2)
    monkeypatch.setattr(loop, "IMAGE_EVERY", 4)
    train(tiny("small", steps=4), source, tmp_path, QUIET, "cpu", RuntimeConfig(tensorboard=True))
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    assert {"loss/loss", "loss/rhythm", "clips a second/loader"} <= set(board.Tags()["scalars"])
    assert set(board.Tags()["images"]) == {"strokes over motion", "dance against music"}
    assert [event.step for event in board.Scalars("loss/loss")] == [1, 2, 3, 4]
