"""On a machine with a graphics card: frames made by PWC-Net there are those made on the CPU, and what a pair costs.

    python tests/gpu/check_flow.py [pwcnet.safetensors]

Needs torch, opencv, numpy and einops only. Prints one JSON object; ends with 1 when card and CPU disagree. Without
weights the network's are random but fixed: parity needs no sense in them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mudar.media.interpolation.flow import Buffers, fill
from mudar.media.interpolation.fusion import FlowFusion, FlowPair
from mudar.media.interpolation.pwc import PwcFlow, input_size
from mudar.model.pwcnet import PwcNet, read_weights

WIDTH, HEIGHT = 1280, 720
FLOW_TOLERANCE_PX = 0.05  # of the grid, 95th percentile
GREY_TOLERANCE = 0.5  # mean over the picture
BF16_TOLERANCE_PX = 1.0
REPEATS = 20


def frames(shift_px: float = 9.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Planes of a textured picture and of the same with a patch moved."""
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(20, 230, (90, 160)).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    patch = cv2.resize(rng.integers(0, 255, (30, 30)).astype(np.uint8), (300, 300), interpolation=cv2.INTER_CUBIC)
    both = []
    for x in (400.0, 400.0 + shift_px):
        move = np.array([[1, 0, x], [0, 1, 200]], np.float32)
        moved = cv2.warpAffine(patch, move, (WIDTH, HEIGHT))
        inside = cv2.warpAffine(np.full_like(patch, 255), move, (WIDTH, HEIGHT)) > 127
        luma = np.where(inside, moved, wide)
        chroma = cv2.resize(luma, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        both.append([luma, chroma, 255 - chroma])
    return both[0], both[1]


def network(path: str | None) -> PwcNet:
    """With these weights, or with random ones."""
    if path is not None:
        return PwcNet.from_state(read_weights(Path(path)))
    torch.manual_seed(0)
    return PwcNet()


def middle(pair: FlowPair, first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray | None:
    """Luma half-way, None where the flow explains too little (random weights may do that)."""
    moment = FlowFusion(pair).at(0.5)
    if moment is None:
        return None
    made = np.empty_like(first[0])
    fill(made, first[0], second[0], moment, Buffers())
    return made


def cost_ms(flows: PwcFlow, first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Milliseconds for one pair, both ways, with scaling and transfer."""
    for _ in range(3):
        flows.between(first, second)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(REPEATS):
        flows.between(first, second)
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started) / REPEATS


def main() -> int:
    """Compare, time, tell."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # parity first
    path = sys.argv[1] if len(sys.argv) > 1 else None
    first, second = frames()
    on_cpu = PwcFlow(network(path)).between(first, second)
    card = PwcFlow(network(path), "cuda")
    on_card = card.between(first, second)
    half = PwcFlow(network(path), "cuda", torch.bfloat16)
    in_half = half.between(first, second)
    off_px = np.abs(np.stack([on_card.forth - on_cpu.forth, on_card.back - on_cpu.back]))
    half_px = np.abs(np.stack([in_half.forth - on_cpu.forth, in_half.back - on_cpu.back]))
    report: dict[str, object] = {
        "card": torch.cuda.get_device_name(),
        "weights": path or "random",
        "picture_seen": input_size(WIDTH, HEIGHT),
        "mean_flow_px": round(float(np.abs(on_cpu.forth).mean()), 4),
        "flow_off_px_p95": round(float(np.quantile(off_px, 0.95)), 5),
        "flow_off_px_max": round(float(off_px.max()), 5),
        "bf16_off_px_p95": round(float(np.quantile(half_px, 0.95)), 4),
    }
    good = report["flow_off_px_p95"] <= FLOW_TOLERANCE_PX and report["bf16_off_px_p95"] <= BF16_TOLERANCE_PX  # type: ignore[operator]
    a, b = middle(on_cpu, first, second), middle(on_card, first, second)
    if a is not None and b is not None:
        report["frame_off_grey"] = round(float(np.abs(a.astype(int) - b).mean()), 4)
        good = good and report["frame_off_grey"] <= GREY_TOLERANCE
    else:
        good = good and (a is None) == (b is None)
    report["fp32_ms_a_720p_pair"] = round(cost_ms(card, first, second), 2)
    report["bf16_ms_a_720p_pair"] = round(cost_ms(half, first, second), 2)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    report["tf32_ms_a_720p_pair"] = round(cost_ms(card, first, second), 2)
    report["good"] = bool(good)
    print(json.dumps(report))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
