"""Measures whether music is in time with a dance: among 16 shifts of -1.4 … +1.6 s, and at the best lag.

A window of the dance is compared with 16 windows of music as long, 0.2 s apart, one of them the true one. Nothing
but their content tells them apart: no window is padded. The null is another clip's music at the same times: where
nothing is true, the "true" shift must rank in the middle.

The best lag is what an index's vectors are measured against: how alike a dance's curve and a song's are at the lag that
suits them best. A maximum over lags is no inner product, so no index can search by it.

Shapes: N clips; S segments; T frames of one.
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
from training.evaluation.inference import ClipPrediction, partners
from training.evaluation.metrics import Array, Columns, Vectors

SHIFTS: Final = 16
STEP_S: Final = 0.2
TRUE_SHIFT: Final = 7  # index of the shift 0
LONGEST_WINDOW_S: Final = 8.0
SHORTEST_WINDOW_S: Final = 3.0
MAX_LAG_S: Final = 2.0
LAG_HOP_S: Final = 4.0
LAG_WINDOW_S: Final = 8.0


def table(network: Network, predictions: Sequence[ClipPrediction]) -> Columns:
    """Measures rank and top1 of each clip's true shift by `embedding`, and by `curve` if there is one.

    The same with another clip's music as null_… NaN for a clip that is too short.
    """
    names = ["embedding", "curve"] if predictions and predictions[0].heads else ["embedding"]
    columns: Columns = {
        f"{prefix}{name}_{figure}": [] for prefix in ("", "null_") for name in names for figure in ("rank", "top1")
    }
    for own, partner in zip(predictions, partners(predictions), strict=True):
        for prefix, music in (("", own), ("null_", partner)):
            window = _window(min(own.record.duration_s, music.record.duration_s))
            scores = _scores(network, own, music, *window) if window else {}
            for name in names:
                rank = rank_of(scores[name], TRUE_SHIFT) if scores else float("nan")
                top1 = float(np.argmax(scores[name]) == TRUE_SHIFT) if scores else float("nan")
                columns[f"{prefix}{name}_rank"].append(rank)
                columns[f"{prefix}{name}_top1"].append(top1)
    return columns


def rank_of(scores: Array, index: int) -> float:
    """Ranks one score among the others: 1 when it is the highest, 0 when it is the lowest; ties count half."""
    others = np.delete(scores, index)
    return float((np.mean(others < scores[index]) + np.mean(others <= scores[index])) / 2)


def _window(duration_s: float) -> tuple[float, float] | None:
    """Chooses (start, length) in seconds of the dance's window, with room for every shift; None for a short clip."""
    length_s = min(LONGEST_WINDOW_S, duration_s - SHIFTS * STEP_S - 0.1)
    if length_s < SHORTEST_WINDOW_S:
        return None
    return (TRUE_SHIFT * STEP_S + (duration_s - length_s - SHIFTS * STEP_S) / 2, length_s)


def _scores(
    network: Network, dance: ClipPrediction, music: ClipPrediction, start_s: float, length_s: float
) -> dict[str, Array]:
    fps = dance.fps
    first, frames, step = round(start_s * fps), round(length_s * fps), round(STEP_S * fps)
    starts = [first + (k - TRUE_SHIFT) * step for k in range(SHIFTS)]
    scores = {"embedding": _by_embedding(network, dance.record, music.record, starts, frames)}
    if dance.heads:
        curve = dance.curves[first : first + frames, network.config.served_index]
        scores["curve"] = np.array([_correlation(curve, music.pulses[at : at + frames]) for at in starts])
    return scores


@torch.no_grad()
def _by_embedding(network: Network, dance: ClipFeatures, music: ClipFeatures, starts: list[int], frames: int) -> Array:
    spec, device, first = network.spec, next(network.parameters()).device, starts[TRUE_SHIFT]
    rows = motion_rows(dance, spec.video)[first : first + frames]
    rate = spec.audio.frame_rate_hz / spec.video.fps
    length = round(frames * rate)
    audio_starts = [min(round(at * rate), len(music.audio) - length) for at in starts]
    audio = torch.from_numpy(np.stack([music.audio[at : at + length] for at in audio_starts])).to(device)
    music_code = network.encode_music(audio, frames)
    dance_code = network.encode_dance(torch.from_numpy(rows[None]).to(device))
    dance_code = Code(*(part.expand(SHIFTS, *part.shape[1:]) for part in dance_code))
    scores = (
        network.synchrony(dance_code, music_code)
        if isinstance(network, Baseline)
        else (dance_code.embedding * music_code.embedding).sum(dim=-1)
    )
    return scores.double().cpu().numpy()


def _correlation(a: Vectors, b: Vectors) -> float:
    count = min(len(a), len(b))
    a, b = a[:count] - a[:count].mean(), b[:count] - b[:count].mean()
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-9))


def best_lag_scores(predictions: Sequence[ClipPrediction], fps: float) -> Array:
    """Correlates (N, N) each clip's served curve (rows) with each clip's onset strength.

    The best pair of segments counts, at its best lag within `MAX_LAG_S`.
    """
    size = 2 * round(LAG_WINDOW_S * fps)
    dances = [np.fft.rfft(_lag_segments(p.curve(p.served_head or ""), fps), size) for p in predictions]
    songs = [np.fft.rfft(_lag_segments(p.record.envelope, fps), size) for p in predictions]
    starts, every = np.cumsum([0, *(len(song) for song in songs)])[:-1], np.concatenate(songs)
    reach = round(MAX_LAG_S * fps)
    scores = []
    for dance in dances:
        best = np.full(len(every), -np.inf)
        for segment in dance:
            by_lag = np.fft.irfft(np.conj(segment) * every, size)  # (ΣS, lags)
            best = np.maximum(best, np.maximum(by_lag[:, : reach + 1].max(axis=1), by_lag[:, -reach:].max(axis=1)))
        scores.append(np.maximum.reduceat(best, starts))
    return np.array(scores)


def _lag_segments(curve: NDArray[np.float32], fps: float) -> Array:
    """Cuts a curve into windows (S, T), each less its mean and of norm 1."""
    length, hop = min(round(LAG_WINDOW_S * fps), len(curve)), round(LAG_HOP_S * fps)
    segments = np.lib.stride_tricks.sliding_window_view(curve.astype(np.float64), length)[::hop]
    centred = segments - segments.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
