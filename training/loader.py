"""Loads batches for the network: made on the spot from memory, or by loader processes that run ahead.

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
    """Counts clips, and seconds of making batches (of all workers), of waiting for them, and in all."""

    making_s: float = 0.0
    waiting_s: float = 0.0
    total_s: float = 0.0
    clips: int = 0
    workers: int = 1

    def summary(self) -> str:
        """Both throughputs, in clips a second: what the loader could give, and what the network took."""
        if not self.clips:
            return ""
        starving = " - the network starves: more --workers" if self.loader_rate < self.network_rate else ""
        return f"loader {self.loader_rate:.0f} clips/s, network {self.network_rate:.0f} clips/s{starving}"

    @property
    def loader_rate(self) -> float:
        """Clips a second that all makers together could make."""
        return self.clips * self.workers / max(self.making_s, 1e-9)

    @property
    def network_rate(self) -> float:
        """Clips a second that the network takes when it need not wait."""
        return self.clips / max(self.total_s - self.waiting_s, 1e-9)


MicroBatches = list[Batch]


@dataclass(frozen=True)
class BatchFactory:
    """Makes this process's part of the batch of any step, in the micro-batches that the recipe asks for."""

    source: Source
    recipe: Recipe
    world: DistContext
    hardest: HardNegatives | None = None

    def make(self, step: int, device: torch.device) -> MicroBatches:
        """Makes the micro-batches of a step on this device."""
        pieces, size = self.recipe.engine.accumulate, self.world.size
        parts = [Part(piece * size + self.world.rank, pieces * size) for piece in range(pieces)]
        return [make_batch(self.source, self.recipe, step, device, part, self.hardest) for part in parts]


class _Steps(Dataset[tuple[MicroBatches, float]]):
    """The batches of some steps, with the seconds that they took to make."""

    def __init__(self, factory: BatchFactory, steps: range, device: torch.device) -> None:
        self.factory, self.steps, self.device = factory, steps, device

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> tuple[MicroBatches, float]:
        began = time.perf_counter()
        return self.factory.make(self.steps[index], self.device), time.perf_counter() - began


def load_batches(factory: BatchFactory, steps: range, workers: int, meter: ThroughputMeter) -> Iterator[MicroBatches]:
    """Yields the batches of these steps, on the device. workers = 0: made here, where the network is."""
    on_the_spot, world = workers == 0, factory.world
    dataset = _Steps(factory, steps, world.device if on_the_spot else CPU)
    pinned = world.device.type == "cuda"
    meter.workers = max(workers, 1)
    made: Iterator[tuple[MicroBatches, float]] = (dataset[i] for i in range(len(dataset)))
    if not on_the_spot:
        made = iter(
            DataLoader(
                dataset, batch_size=None, num_workers=workers, pin_memory=pinned, prefetch_factor=2,
                multiprocessing_context="spawn", worker_init_fn=_one_thread,
            )
        )  # fmt: skip
    began = time.perf_counter()
    while True:
        requested_s = time.perf_counter()
        item = next(made, None)
        received_s = time.perf_counter()
        if item is None:
            return
        pieces, seconds = item
        yield [batch.to(world.device) for batch in pieces]
        now = time.perf_counter()
        meter.making_s += seconds
        meter.waiting_s += received_s - requested_s
        meter.total_s, began = meter.total_s + now - began, now
        meter.clips += sum(len(batch.motion) for batch in pieces)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
