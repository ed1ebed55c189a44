"""Exchanges tensors between the processes that train together, as torchrun starts them. Knows no network.

One process alone is a world of one, in which every exchange is the thing itself. Backends: NCCL on GPUs, gloo on CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

CPU = torch.device("cpu")
TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class DistContext:
    """Describes this process: its `rank` among `size` processes, and the device that it works on."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def gather(self, mine: Tensor) -> Tensor:
        """(n, …) of each process, equal in shape, to (size * n, …) in the order of their ranks, with gradients."""
        if self.size == 1:
            return mine
        gathered: Tensor = _Gather.apply(mine.contiguous(), self.rank, self.size)  # type: ignore[no-untyped-call]
        return gathered

    def sum(self, mine: Tensor) -> Tensor:
        """The sum over all processes; without gradients."""
        total = mine.detach().clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def wait(self) -> None:
        """Until everybody is here."""
        if self.size > 1:
            dist.barrier()


SINGLE = DistContext()


class _Gather(torch.autograd.Function):
    """All-gather whose gradient comes back from everybody who used one's part."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, rank: int, size: int) -> Tensor:
        ctx.rank, ctx.count = rank, len(mine)
        parts = [torch.empty_like(mine) for _ in range(size)]
        dist.all_gather(parts, mine)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rank * ctx.count : (ctx.rank + 1) * ctx.count], None, None


def find_device(name: str, local_rank: int = 0) -> torch.device:
    """Finds the device: `auto` is a GPU where there is one; of several, each process of a machine takes its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)


@contextmanager
def init_distributed(device: str) -> Iterator[DistContext]:
    """Joins the processes that torchrun started; without torchrun, this process is a world of one."""
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    device_of_process = find_device(device, local)
    if device_of_process.type == "cuda":
        torch.cuda.set_device(device_of_process)
    if size == 1:
        yield DistContext(device=device_of_process)
        return
    dist.init_process_group("nccl" if device_of_process.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield DistContext(dist.get_rank(), size, device_of_process)
        dist.barrier()  # who leaves first takes connections from under the others
    finally:
        dist.destroy_process_group()
