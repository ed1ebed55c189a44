"""Measures embedding of a 30 s 720p clip beside real time, and beside decoding plus the network's arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import torch
from torch.utils.flop_counter import FlopCounterMode

from model_store.loader import load_served
from mudar.embed import Embedder
from tests.bench.media import clip_720p
from tests.bench.row import Row, in_turns, seconds

DURATION_S = 30.0


def decode(path: Path) -> None:
    """Decodes every frame with all threads and drops it."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


def matmul_rate() -> float:
    """Measures the floating-point operations a second of a large fp32 matrix product, best of five."""
    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: a @ a) for _ in range(5))


def rows(folder: Path) -> Iterator[Row]:
    """Yields the real-time factor and the ratio to the sum of the floors."""
    path = clip_720p(folder, DURATION_S)
    embedder = Embedder.from_loaded(load_served())
    with FlopCounterMode(display=False) as counter:
        embedder.dance(path)
    embed_s, decode_s = in_turns(lambda: embedder.dance(path), lambda: decode(path))
    network_s = counter.get_total_flops() / matmul_rate()
    floor_s = decode_s + network_s
    speed = DURATION_S / embed_s
    yield Row(
        "embed 30 s 720p, model loaded",
        f"{embed_s:.2f} s",
        "30 s of video",
        speed,
        speed,
        ">= 3x real time",
        speed >= 3,
    )
    ratio = embed_s / floor_s
    peer = f"decode {decode_s:.2f} s + network {network_s:.2f} s"
    yield Row("the same, against its floors", f"{embed_s:.2f} s", peer, ratio, ratio, "<= 2x", ratio <= 2)
