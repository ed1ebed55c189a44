"""Batches on their way to the network: made on the spot from memory, or by loader processes that run ahead.

Which batch comes at which step does not depend on how it is made. `ThroughputMeter` says who waits for whom.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from training.data.batches import CPU, Batch, HardNegatives, Part, Source, make_batch
from training.distributed import DistContext
from training.recipe import Recipe


@dataclass
class ThroughputMeter:
    """Seconds spent on making batches (in all makers together), on waiting for them, and in all; and clips seen."""

    made_s: float = 0.0
    waited_s: float = 0.0
    whole_s: float = 0.0
    clips: int = 0
    makers: int = 1

    def said(self) -> str:
        """Both throughputs, in clips a second: what the loader could give, and what the network took."""
        if not self.clips:
            return ""
        starving = " - the network starves: more --workers" if self.loader_rate < self.network_rate else ""
        return f"loader {self.loader_rate:.0f} clips/s, network {self.network_rate:.0f} clips/s{starving}"

    @property
    def loader_rate(self) -> float:
        """Clips a second that all makers together could make."""
        return self.clips * self.makers / max(self.made_s, 1e-9)

    @property
    def network_rate(self) -> float:
        """Clips a second that the network takes when it need not wait."""
        return self.clips / max(self.whole_s - self.waited_s, 1e-9)


MicroBatches = list[Batch]


class _Steps(Dataset[tuple[MicroBatches, float]]):
    """The pieces of this process's part of each step from `first` on, with the seconds that they took to make."""

    def __init__(
        self, source: Source, recipe: Recipe, first: int, last: int, world: DistContext, hardest: HardNegatives | None,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.source, self.recipe, self.first, self.last = source, recipe, first, last
        self.world, self.hardest, self.device = world, hardest, device

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> tuple[MicroBatches, float]:
        began = time.perf_counter()
        pieces, size = self.recipe.engine.accumulate, self.world.size
        step = self.first + index
        made = [
            make_batch(self.source, self.recipe, step, self.device, Part(p * size + self.world.rank, pieces * size),
                       self.hardest)
            for p in range(pieces)
        ]  # fmt: skip
        return made, time.perf_counter() - began


def load_batches(
    source: Source, recipe: Recipe, first: int, last: int, world: DistContext, hardest: HardNegatives | None,
    workers: int, meter: ThroughputMeter,
) -> Iterator[MicroBatches]:  # fmt: skip
    """The batches of steps first … last - 1, on the device. workers = 0: made here, where the network is."""
    on_the_spot = workers == 0
    steps = _Steps(source, recipe, first, last, world, hardest, world.device if on_the_spot else CPU)
    pinned = world.device.type == "cuda"
    meter.makers = max(workers, 1)
    made: Iterator[tuple[MicroBatches, float]] = (steps[i] for i in range(len(steps)))
    if not on_the_spot:
        made = iter(
            DataLoader(
                steps, batch_size=None, num_workers=workers, pin_memory=pinned, prefetch_factor=2,
                multiprocessing_context="spawn", worker_init_fn=_one_thread,
            )
        )  # fmt: skip
    began = time.perf_counter()
    while True:
        asked = time.perf_counter()
        found = next(made, None)
        got = time.perf_counter()
        if found is None:
            return
        pieces, seconds = found
        yield [batch.to(world.device) for batch in pieces]
        now = time.perf_counter()
        meter.made_s += seconds
        meter.waited_s += got - asked
        meter.whole_s, began = meter.whole_s + now - began, now
        meter.clips += sum(len(batch.motion) for batch in pieces)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
