"""Measures what a training step costs (work, time, memory, what bounds it) and predicts it for many GPUs.

Times are of the device, not of the Python that feeds it, wherever the two differ. Knows no recipe by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode

# Dense matrix products per second as the makers state them, without sparsity: (bf16, fp32 outside tensor cores).
STATED_FLOPS: Final = {"H100": (989e12, 67e12), "H200": (989e12, 67e12), "A100": (312e12, 19.5e12)}
_ALLREDUCE_BYTES_S: Final = 25e9  # a ring over 8-GPU nodes with a 200 Gbit/s card for each GPU
_HOP_S: Final = 20e-6  # what one exchange of a ring costs however small it is


@dataclass(frozen=True)
class Cost:
    """One step: seconds, floating-point operations, device memory, and the share of time in which the device worked."""

    clips: int
    step_s: float
    batch_s: float  # of it, making the batch
    flops: float
    memory_bytes: int
    busy: float | None  # None where there is no device to be idle
    products: float | None  # share of the busy time in matrix products and convolutions

    @property
    def clips_s(self) -> float:
        """Clips a second."""
        return self.clips / self.step_s

    def bound_by(self, peak_flops: float) -> str:
        """What a faster step would have to be rid of."""
        if self.busy is None:
            return "arithmetic" if self.flops / self.step_s > 0.3 * peak_flops else "memory and small operations"
        if self.busy < 0.7:
            return "Python and kernel launches"
        if self.flops / self.step_s > 0.4 * peak_flops:
            return "arithmetic"
        return "convolutions and products below their peak" if (self.products or 0) > 0.5 else "memory (elementwise)"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(do: Callable[[], Any], times: int, device: torch.device) -> float:
    """Mean seconds of one call, the first two not counted."""
    for _ in range(2):
        do()
    synchronize(device)
    began = time.perf_counter()
    for _ in range(times):
        do()
    synchronize(device)
    return (time.perf_counter() - began) / times


def operations(do: Callable[[], Any]) -> float:
    """Floating-point operations of the matrix products and convolutions of one call."""
    counter = FlopCounterMode(display=False)
    with counter:
        do()
    return float(counter.get_total_flops())


def busy_shares(
    do: Callable[[], Any], step_s: float, device: torch.device, times: int = 3
) -> tuple[float, float] | None:
    """Shares of a step's time that the GPU works, and of that the part in products and convolutions."""
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(times):
            do()
        synchronize(device)
    spent = {event.key.lower(): float(event.self_device_time_total) for event in profiler.key_averages()}
    total_us = sum(spent.values())
    words = ("gemm", "conv", "cudnn", "cutlass", "xmma", "wgrad", "dgrad", "nvjet", "implicit")
    products = sum(us for name, us in spent.items() if any(word in name for word in words))
    return (
        (total_us * 1e-6 / times / step_s, products / total_us) if total_us else None
    )  # no figures where it may not look


def measured_peak(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Operations a second of one large matrix product: what this device can do today."""
    n = side or (8192 if device.type == "cuda" else 768)
    one = torch.randn(n, n, device=device, dtype=dtype)
    return 2.0 * n**3 / seconds(lambda: one @ one, 5, device)


def stated_peak(device: torch.device, precision: str) -> float | None:
    """The maker's figure, for the devices that we know."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((both[precision != "bf16"] for known, both in STATED_FLOPS.items() if known in name), None)


@dataclass(frozen=True)
class ScalingEstimate:
    """A run on many GPUs, computed from one GPU's step at the same share of the batch."""

    gpus: int
    step_s: float
    exchange_s: float
    sent_bytes: float  # by each GPU in each step
    hours: float
    read_bytes_s: float  # from disk, by each GPU


def predict(
    step_s: float, exchanged_bytes: int, gpus: int, steps: int, clip_bytes: float, clips: float
) -> ScalingEstimate:
    """A ring all-reduce sends 2 (n - 1) / n of all gradients; here none of it hides behind the backward pass.

    clips: of one GPU's share of a batch, each of `clip_bytes` on disk.
    """
    sent = 2 * (gpus - 1) / gpus * exchanged_bytes
    exchange_s = sent / _ALLREDUCE_BYTES_S + 2 * (gpus - 1) * _HOP_S
    total_s = step_s + exchange_s
    return ScalingEstimate(gpus, total_s, exchange_s, sent, total_s * steps / 3600, clips * clip_bytes / total_s)
