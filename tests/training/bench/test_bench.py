"""The benchmarks' arithmetic, on cases worked by hand, and the command itself on a step that a CPU can afford."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.bench.cost import Cost, operations, predict
from training.bench.step import Setting, fleet_line, measure
from training.recipes import registry

CPU = torch.device("cpu")


def test_operations_of_a_product_and_its_gradients() -> None:
    linear, rows = nn.Linear(6, 5, bias=False), torch.randn(7, 6, requires_grad=True)

    def step() -> None:
        torch.autograd.backward(linear(rows).sum())

    assert operations(step) == 3 * 2 * 7 * 6 * 5  # forward, to the rows and to the weights


def test_a_ring_sends_nearly_twice_the_gradients() -> None:
    fleet = predict(0.5, 80_000_000, 4, 7200, 1e6, 6)
    assert fleet.sent_bytes == 120_000_000
    assert fleet.exchange_s == pytest.approx(120e6 / 25e9 + 6 * 20e-6)
    assert fleet.hours == pytest.approx(2 * (0.5 + fleet.exchange_s))
    assert fleet.read_bytes_s == pytest.approx(6e6 / fleet.step_s)


def test_what_bounds_a_step() -> None:
    def bound(busy: float | None, flops: float, products: float | None = 0.2) -> str:
        return Cost(8, 1.0, 0.0, flops, 0, busy, products).bound_by(100.0)

    assert bound(0.3, 10) == "Python and kernel launches"
    assert bound(0.95, 60) == "arithmetic"
    assert bound(0.95, 10) == "memory (elementwise)"
    assert bound(0.95, 10, 0.8) == "convolutions and products below their peak"
    assert bound(None, 60) == "arithmetic"


@pytest.mark.slow
def test_the_paper_s_step_is_measured_on_a_cpu() -> None:
    estimate = measure(Setting("paper", 2, "fp32", "no"), CPU, 1, checkpointing=False, tiny=True)
    assert estimate["fits"]
    assert estimate["flops"] / estimate["clips"] > 1e8
    assert 0 < estimate["of_measured_peak"] < 1.5
    assert estimate["gradient_bytes"] == 4 * estimate["parameters"]
    assert "64 GPUs, 6 clips on each" in fleet_line(estimate, registry.get("paper"), 1e6)
