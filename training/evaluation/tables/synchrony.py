"""Is the music in time? The true offset among 16 shifts of -1.4 … +1.6 s, by embeddings and by the rhythm curve.

A window of the dance is compared with 16 windows of music as long, 0.2 s apart, one of them the true one. Nothing
but their content tells them apart: no window is padded. The null is another clip's music at the same places: where
nothing is true, the "true" place must rank in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from mudar.model.temporal import Code
from training.baselines.network import Baseline
from training.baselines.registry import Network
from training.data.records import ClipFeatures, motion_rows
from training.evaluation.tables.inference import Array, Seen
from training.evaluation.tables.table1 import partners

Columns = dict[str, list[float]]

SHIFTS: Final = 16
STEP_S: Final = 0.2
TRUE: Final = 7  # index of the shift 0
LEAST_S: Final = 3.0  # of a window


def table(network: Network, seen: Sequence[Seen]) -> Columns:
    """Of each clip: rank and top1 of the true shift by `embedding`, and by `curve` if there is one; the same with
    another clip's music as null_… NaN for a clip that is too short."""
    names = ["embedding", "curve"] if seen and seen[0].heads else ["embedding"]
    columns: Columns = {
        f"{prefix}{name}_{what}": [] for prefix in ("", "null_") for name in names for what in ("rank", "top1")
    }
    for one, other in zip(seen, partners(seen), strict=True):
        for prefix, music in (("", one), ("null_", other)):
            place = _place(min(one.record.duration_s, music.record.duration_s))
            scores = _scores(network, one, music, *place) if place else {}
            for name in names:
                rank = rank_of(scores[name], TRUE) if scores else float("nan")
                top = float(np.argmax(scores[name]) == TRUE) if scores else float("nan")
                columns[f"{prefix}{name}_rank"].append(rank)
                columns[f"{prefix}{name}_top1"].append(top)
    return columns


def rank_of(scores: NDArray[np.float64], index: int) -> float:
    """1 when this score is the highest, 0 when it is the lowest; ties count half."""
    others = np.delete(scores, index)
    return float((np.mean(others < scores[index]) + np.mean(others <= scores[index])) / 2)


def _place(duration_s: float) -> tuple[float, float] | None:
    """(start, length) in seconds of the dance's window, with room for every shift; None for a clip too short."""
    length_s = min(8.0, duration_s - SHIFTS * STEP_S - 0.1)
    if length_s < LEAST_S:
        return None
    return (TRUE * STEP_S + (duration_s - length_s - SHIFTS * STEP_S) / 2, length_s)


def _scores(
    network: Network, dance: Seen, music: Seen, start_s: float, length_s: float
) -> dict[str, NDArray[np.float64]]:
    fps = dance.fps
    first, frames, step = round(start_s * fps), round(length_s * fps), round(STEP_S * fps)
    firsts = [first + (k - TRUE) * step for k in range(SHIFTS)]
    found = {"embedding": _by_embedding(network, dance.record, music.record, first, firsts, frames)}
    if dance.heads:
        curve = dance.curves[first : first + frames, network.config.served_index]
        found["curve"] = np.array([_correlation(curve, music.pulses[at : at + frames]) for at in firsts])
    return found


@torch.no_grad()
def _by_embedding(
    network: Network, dance: ClipFeatures, music: ClipFeatures, first: int, firsts: list[int], frames: int
) -> NDArray[np.float64]:
    spec, device = network.spec, next(network.parameters()).device
    rows = motion_rows(dance, spec.video)[first : first + frames]
    rate = spec.audio.frame_rate_hz / spec.video.fps
    length = round(frames * rate)
    starts = [min(round(at * rate), len(music.audio) - length) for at in firsts]
    audio = torch.from_numpy(np.stack([music.audio[at : at + length] for at in starts])).to(device)
    heard = network.encode_music(audio, frames)
    seen = network.encode_dance(torch.from_numpy(rows[None]).to(device))
    seen = Code(*(part.expand(SHIFTS, *part.shape[1:]) for part in seen))
    scores = (
        network.synchrony(seen, heard)
        if isinstance(network, Baseline)
        else (seen.embedding * heard.embedding).sum(dim=-1)
    )
    return scores.double().cpu().numpy()


def _correlation(a: Array, b: Array) -> float:
    count = min(len(a), len(b))
    a, b = a[:count] - a[:count].mean(), b[:count] - b[:count].mean()
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-9))
