"""Logs a run to `losses.jsonl`, and curves and images to TensorBoard. Knows no optimiser."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.data.records import Image
from training.distributed import DistContext
from training.loss import Parts

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass
class Log:
    """Logs losses: they stay on the device and are written many at a time, since reading one waits for the GPU.

    Only the main process writes; what it writes is the sum of everybody's shares.
    """

    folder: Path
    world: DistContext
    writer: SummaryWriter | None = None
    pending: list[tuple[int, Parts]] = field(default_factory=list)

    def resume_from(self, step: int) -> None:
        """Forget what a killed run wrote of steps that now come again, and a line that it left unfinished."""
        path = self.folder / "losses.jsonl"
        if self.world.is_main and path.exists():
            lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))

    def add(self, step: int, losses: Parts) -> None:
        """The losses after `step` steps."""
        self.pending.append((step, losses))

    def write(self) -> dict[str, float]:
        """Append what is held; returns the last losses. All processes must call this at the same steps."""
        if not self.pending:
            return {}
        shares: list[Tensor] = [value for _, losses in self.pending for value in losses.values()]
        numbers = self.world.sum(torch.stack(shares)).tolist()
        last: dict[str, float] = {}
        lines = []
        for step, losses in self.pending:
            last, numbers = dict(zip(losses, numbers, strict=False)), numbers[len(losses) :]
            lines.append(json.dumps({"step": step, **last}))
            for name, value in last.items():
                self.scalar(f"loss/{name}", value, step)
        self.pending.clear()
        if self.world.is_main:
            with (self.folder / "losses.jsonl").open("a") as out:
                out.write("".join(line + "\n" for line in lines))
        return last

    def scalar(self, name: str, value: float, step: int) -> None:
        """A curve on the board, if there is one."""
        if self.writer is not None:
            self.writer.add_scalar(name, value, step)

    def image(self, name: str, image: Image, step: int) -> None:
        """(H, W, 3) RGB on the board, if there is one."""
        if self.writer is not None:
            self.writer.add_image(name, image, step, dataformats="HWC")


def open_writer(folder: Path) -> SummaryWriter:
    """Opens TensorBoard's files of a run. ModuleNotFoundError without tensorboard, which is in the extra `train`."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "board"))
