"""Measures a flow's end-point errors on generated pairs of other seeds, and on pairs in FlyingChairs' form.

    python -m training.flow.measure pwcnet.safetensors --pairs FOLDER

A folder holds NNNNN_img1.ppm, NNNNN_img2.ppm and NNNNN_flow.flo; beside our error stand those of no motion at all and
of OpenCV's DIS.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mudar.model.pwcnet import FLOW_UNIT_PX, PwcNet, read_weights
from training.flow.layers import draw
from training.flow.loss import endpoint_error

MAGIC = 202021.25
HELD_OUT_SEED = 7_000_000  # training draws from small seeds
Picture = NDArray[np.uint8]


@torch.no_grad()
def estimate(net: PwcNet, first: Tensor, second: Tensor) -> Tensor:
    """Estimates the flow (B, 2, H, W) in pixels between BGR pictures (B, 3, H, W) of any size.

    They are scaled to multiples of 64 and back.
    """
    height, width = first.shape[2:]
    side = [max(round(n / 64), 1) * 64 for n in (height, width)]
    scaled = [F.interpolate(p, side, mode="bilinear", align_corners=False) for p in (first, second)]
    flow = net(*scaled)[0].float() * FLOW_UNIT_PX
    flow = F.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
    return flow * torch.tensor([width / side[1], height / side[0]], device=flow.device).view(1, 2, 1, 1)


@torch.no_grad()
def on_generated(net: PwcNet, device: torch.device, pairs: int = 64, side: int = 256) -> tuple[float, float]:
    """End-point error on held-out generated pairs, and that of no motion, in pixels."""
    generator = torch.Generator(device).manual_seed(HELD_OUT_SEED)
    errors, still = [], []
    for _ in range(max(pairs // 8, 1)):
        drawn = draw(min(8, pairs), side, side, generator)
        errors.append(endpoint_error(estimate(net, drawn.first, drawn.second), drawn.flow))
        still.append(endpoint_error(torch.zeros_like(drawn.flow), drawn.flow))
    return float(torch.cat(errors).mean()), float(torch.cat(still).mean())


def on_files(net: PwcNet, folder: Path, device: torch.device) -> dict[str, tuple[float, float, float]]:
    """Name of each pair to the end-point errors of (ours, no motion, DIS medium), in pixels."""
    errors = {}
    for name, first, second, truth in read_pairs(folder):
        both = [torch.from_numpy(p).permute(2, 0, 1)[None].float().to(device) / 255 for p in (first, second)]
        flow = estimate(net, *both)[0].permute(1, 2, 0).cpu().numpy()
        gray = [cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (first, second)]
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)  # type: ignore[call-overload]
        ours, still, theirs = (
            float(np.linalg.norm(f - truth, axis=-1).mean()) for f in (flow, np.zeros_like(truth), dis)
        )
        errors[name] = (ours, still, theirs)
    return errors


def read_pairs(folder: Path) -> Iterator[tuple[str, Picture, Picture, NDArray[np.float32]]]:
    """Name, two BGR pictures and the (H, W, 2) flow between them."""
    for path in sorted(folder.glob("*_flow.flo")):
        name = path.name.removesuffix("_flow.flo")
        pictures = [cv2.imread(str(path.with_name(f"{name}_img{i}.ppm"))) for i in (1, 2)]
        if pictures[0] is None or pictures[1] is None:
            raise FileNotFoundError(f"{path} lies there without its two pictures")
        yield name, np.asarray(pictures[0]), np.asarray(pictures[1]), read_flo(path)


def read_flo(path: Path) -> NDArray[np.float32]:
    """Reads the flow (H, W, 2) of a .flo file: a magic number, width, height, then u and v in turns. ValueError."""
    content = path.read_bytes()
    if len(content) < 12 or np.frombuffer(content, "<f4", 1)[0] != MAGIC:
        raise ValueError(f"{path} is no .flo file")
    width, height = np.frombuffer(content, "<i4", 2, offset=4)
    return np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2)


def show(net: PwcNet, device: torch.device, folder: Path | None, console: Console) -> dict[str, tuple[float, ...]]:
    """Prints the errors and returns them."""
    errors_by_pair: dict[str, tuple[float, ...]] = {"generated, held out": on_generated(net, device)}
    if folder is not None:
        errors_by_pair |= on_files(net, folder, device)
    table = Table("pair", "end-point error, px", "no motion", "DIS medium")
    for name, errors in errors_by_pair.items():
        table.add_row(name, *(f"{error:.2f}" for error in errors))
    console.print(table)
    return errors_by_pair


def main() -> None:
    """Measures the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    net = PwcNet.from_state(read_weights(args.weights)).to(args.device).eval()
    show(net, torch.device(args.device), args.pairs, Console())


if __name__ == "__main__":
    main()
