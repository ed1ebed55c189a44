"""Runs a network, MuDaR or a baseline, over a clip as serving does: overlapping windows, their curves averaged.

Knows no truth and no score.
Shapes: T frames of the clip; S segments; W frames of a window; M motion; H heads; U width of the rhythm's features;
E length of an embedding; R length of a rhythm descriptor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.features.envelope import curve_at
from mudar.features.windows import Window, overlap_add, windows
from mudar.model.mudar import Mudar
from mudar.model.temporal import Code
from mudar.rhythm.descriptors import dance_descriptor, music_descriptor
from mudar.rhythm.peaks import strokes_from_curve
from mudar.rhythm.postprocessing import postprocess
from mudar.spec import FeatureSpec
from training.baselines.registry import Network
from training.data.records import ClipFeatures, decode_jpegs, motion_rows
from training.evaluation.metrics import SegmentVectors

Array = NDArray[np.float32]
MIN_GAP_S = {"onset": 0.1}  # music may have more than four onsets a second; a body has not so many strokes
DEFAULT_MIN_GAP_S = 0.2


@dataclass(frozen=True)
class ClipPrediction:
    """What one network says of one clip. `dance` and `music` are Codes of its S segments, on the network's device."""

    record: ClipFeatures
    windows: list[Window]
    fps: float
    heads: tuple[str, ...]  # none for a network that estimates no rhythm
    curves: Array  # (T, H) in 0..1, the served head's as it is served
    pulses: Array  # (T,) a bump at each beat of the clip's own music
    dance: Code
    music: Code
    rhythm: Tensor  # (S, W, U) what the rhythm heads read; U = 0 for a network without them
    dance_rhythm: Array  # (S, R)
    music_rhythm: Array  # (S, R)
    served_head: str | None = None
    served_strokes_s: Array | None = None  # (N,) seconds, as they are served

    def curve(self, head: str) -> Array:
        """Returns the curve (T,) of one head."""
        return np.ascontiguousarray(self.curves[:, self.heads.index(head)])

    def strokes_s(self, head: str) -> Array:
        """Returns the strokes of the served head as served; of another, the peaks of its curve. In seconds."""
        if self.served_strokes_s is not None and head == self.served_head:
            return self.served_strokes_s
        min_gap_s = MIN_GAP_S.get(head, DEFAULT_MIN_GAP_S)
        return strokes_from_curve(self.curve(head), self.fps, min_gap_s=min_gap_s)[0]

    @property
    def dance_embedding(self) -> Array:
        """The embeddings (S, E) of the dance's segments, on the CPU."""
        embedding: Array = self.dance.embedding.cpu().numpy()
        return embedding

    @property
    def music_embedding(self) -> Array:
        """The embeddings (S, E) of the music's segments, on the CPU."""
        embedding: Array = self.music.embedding.cpu().numpy()
        return embedding


@torch.no_grad()
def predict(network: Network, record: ClipFeatures) -> ClipPrediction:
    """Runs the network, which is left in evaluation mode, over the clip's segments.

    ValueError when the network needs frames and the record holds none.
    """
    network.eval()
    spec, config = network.spec, network.config
    fps, rows = spec.video.fps, motion_rows(record, spec.video)
    segments = windows(len(rows) / fps, len(rows), spec)
    device = next(network.parameters()).device
    motion = cut_motion(rows, segments).to(device)
    frames = cut_frames(record, segments).to(device) if network.frame_maps is not None else None
    heads: tuple[str, ...] = ()
    curves, rhythm, strokes_s = np.zeros((len(rows), 0), np.float32), motion[..., :0], None
    if isinstance(network, Mudar):
        heads, rhythm = config.rhythm_heads, network.rhythm_sequence(motion, frames)
        curves = overlap_add(torch.sigmoid(network.rhythm_head(rhythm)).cpu().numpy(), segments, len(rows))
        dance_rhythm = postprocess(config, curves, network.filtered(rows), fps)
        curves[:, config.served_index], strokes_s = dance_rhythm.curve, dance_rhythm.times_s
    envelope = np.pad(record.envelope, (0, max(len(rows) - len(record.envelope), 0)))[: len(rows)]
    pulses = curve_at(record.audio[:, spec.audio.n_mels + 1], spec.audio, fps, len(rows))
    served_curve = curves[:, config.served_index] if heads else np.zeros(len(rows), np.float32)
    return ClipPrediction(
        record=record,
        windows=segments,
        fps=fps,
        heads=heads,
        curves=curves,
        pulses=pulses,
        dance=network.encode_dance(motion, frames),
        music=network.encode_music(cut_audio(record, segments, spec).to(device), segments[0].frames),
        rhythm=rhythm,
        dance_rhythm=dance_descriptor(config, spec.video, rows, served_curve, segments),
        music_rhythm=music_descriptor(config, spec.video, envelope, pulses, segments),
        served_head=config.served_head if heads else None,
        served_strokes_s=strokes_s,
    )


def predict_all(network: Network, records: Iterable[ClipFeatures]) -> Iterator[ClipPrediction]:
    """Runs the network over clip after clip."""
    return (predict(network, record) for record in records)


def group_of(record: ClipFeatures) -> str:
    """Names the group of a table that a record belongs to: generated, or real by the collection in its clip id."""
    if record.origin == "generated":
        return "generated"
    return "real, " + record.clip_id.split("_")[0]


def predict_groups(
    network: Network,
    records: Iterable[ClipFeatures],
    tick: Callable[[], None] = lambda: None,
    group_of: Callable[[ClipFeatures], str] = group_of,
) -> dict[str, list[ClipPrediction]]:
    """Runs the network over every clip and sorts the predictions by group; calls `tick` after each."""
    groups: dict[str, list[ClipPrediction]] = {}
    for prediction in predict_all(network, records):
        groups.setdefault(group_of(prediction.record), []).append(prediction)
        tick()
    return dict(sorted(groups.items()))


def first_of_each_song(predictions: Sequence[ClipPrediction]) -> list[ClipPrediction]:
    """Picks the first clip of each song, in order."""
    first: dict[str, ClipPrediction] = {}
    for prediction in predictions:
        first.setdefault(prediction.record.song_id, prediction)
    return list(first.values())


def dance_vectors(predictions: Sequence[ClipPrediction]) -> SegmentVectors:
    """Gathers the vectors of every clip's dance."""
    return SegmentVectors([p.dance_embedding for p in predictions], [p.dance_rhythm for p in predictions])


def music_vectors(predictions: Sequence[ClipPrediction]) -> SegmentVectors:
    """Gathers the vectors of every clip's music."""
    return SegmentVectors([p.music_embedding for p in predictions], [p.music_rhythm for p in predictions])


def partners(predictions: Sequence[ClipPrediction]) -> list[ClipPrediction]:
    """Pairs each clip with one of another song, half a list away where possible; with itself if there is one song."""
    count = len(predictions)
    pairs = []
    for i, prediction in enumerate(predictions):
        others = (predictions[(i + count // 2 + k) % count] for k in range(count))
        song_id = prediction.record.song_id
        pairs.append(next((other for other in others if other.record.song_id != song_id), prediction))
    return pairs


def cut_motion(rows: Array, segments: list[Window]) -> Tensor:
    """Cuts a clip's (T, M) motion into windows (S, W, M)."""
    return torch.from_numpy(np.stack([rows[w.first_frame : w.first_frame + w.frames] for w in segments]))


def cut_frames(record: ClipFeatures, segments: list[Window]) -> Tensor:
    """Cuts a clip's frames into windows (S, W, 3, P, P) of bytes. ValueError when its record holds none."""
    frames = [decode_jpegs(record.jpegs, w.first_frame + np.arange(w.frames)) for w in segments]
    return torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3)


def cut_audio(record: ClipFeatures, segments: list[Window], spec: FeatureSpec) -> Tensor:
    """Cuts a clip's music into windows (S, Wa, F), the last one moved back if the sound ends before the video."""
    rate_hz, fps = spec.audio.frame_rate_hz, spec.video.fps
    length = min(round(segments[0].frames / fps * rate_hz), len(record.audio))
    starts = [min(round(w.first_frame / fps * rate_hz), len(record.audio) - length) for w in segments]
    return torch.from_numpy(np.stack([record.audio[start : start + length] for start in starts]))
