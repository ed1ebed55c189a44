"""What a network says of a clip, MuDaR or baseline alike: curves of its rhythm heads, codes of its segments.

As serving does it: overlapping windows, their curves averaged. Knows no truth and no score.
Shapes: T frames of the clip; S segments; W frames of a window; M motion; H heads; U width of the rhythm's features;
R length of a rhythm vector.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from training.data.jpegs import decode_jpegs
from training.data.records import ClipFeatures, motion_rows

Array = NDArray[np.float32]
MIN_GAP_S = {"onset": 0.1}  # music may have more than four onsets a second; a body has not so many strokes
USUAL_GAP_S = 0.2


@dataclass(frozen=True)
class Seen:
    """One clip through one network. `dance` and `music` are Codes of its S segments, on the network's device."""

    record: ClipFeatures
    where: list[Window]
    fps: float
    heads: tuple[str, ...]  # none for a network that knows no rhythm
    curves: Array  # (T, H) in 0..1, the served head's as it is served
    pulses: Array  # (T,) a bump at each beat of the clip's own music
    dance: Code
    music: Code
    rhythm: Tensor  # (S, W, U) what the rhythm heads read; U = 0 for a network without them
    dance_rhythm: Array  # (S, R)
    music_rhythm: Array  # (S, R)
    served: tuple[str, Array] | None = None  # the head that is served, and its strokes (N,) in seconds as they are

    def curve(self, head: str) -> Array:
        """(T,) of one head."""
        return np.ascontiguousarray(self.curves[:, self.heads.index(head)])

    def strokes_s(self, head: str) -> Array:
        """Strokes of the served head as served; of another, the peaks of its curve. In seconds."""
        if self.served is not None and head == self.served[0]:
            return self.served[1]
        return strokes_from_curve(self.curve(head), self.fps, min_gap_s=MIN_GAP_S.get(head, USUAL_GAP_S))[0]


def see(network: Network, record: ClipFeatures) -> Seen:
    """The clip through the network, which is left in evaluation mode."""
    return next(iter(see_all(network, [record])))


@torch.no_grad()
def see_all(network: Network, records: Iterable[ClipFeatures]) -> Iterable[Seen]:
    """Clip by clip."""
    network.eval()
    for record in records:
        yield _see(network, record)


def _see(network: Network, record: ClipFeatures) -> Seen:
    spec, config = network.spec, network.config
    fps, rows = spec.video.fps, motion_rows(record, spec.video)
    where = windows(len(rows) / fps, len(rows), spec)
    device = next(network.parameters()).device
    motion = cut_motion(rows, where).to(device)
    heads: tuple[str, ...] = ()
    curves, rhythm, strokes_s = np.zeros((len(rows), 0), np.float32), motion[..., :0], np.zeros(0, np.float32)
    frames = cut_frames(record, where).to(device) if network.frame_maps is not None else None
    if isinstance(network, Mudar):
        heads, rhythm = config.rhythm_heads, network.rhythm_sequence(motion, frames)
        curves = overlap_add(torch.sigmoid(network.rhythm_head(rhythm)).cpu().numpy(), where, len(rows))
        read = postprocess(config, curves, network.filtered(rows), fps)
        curves[:, config.served_index], strokes_s = read.curve, read.times_s
    envelope = np.pad(record.envelope, (0, max(len(rows) - len(record.envelope), 0)))[: len(rows)]
    pulses = curve_at(record.audio[:, spec.audio.n_mels + 1], spec.audio, fps, len(rows))
    served = curves[:, config.served_index] if heads else np.zeros(len(rows), np.float32)
    return Seen(
        record=record,
        where=where,
        fps=fps,
        heads=heads,
        curves=curves,
        pulses=pulses,
        dance=network.encode_dance(motion, frames),
        music=network.encode_music(cut_audio(record, where, spec).to(device), where[0].frames),
        rhythm=rhythm,
        dance_rhythm=dance_descriptor(config, spec.video, rows, served, where),
        music_rhythm=music_descriptor(config, spec.video, envelope, pulses, where),
        served=(config.served_head, strokes_s) if heads else None,
    )


def cut_motion(rows: Array, where: list[Window]) -> Tensor:
    """(S, W, M) of a clip's (T, M) motion."""
    return torch.from_numpy(np.stack([rows[w.first_frame : w.first_frame + w.frames] for w in where]))


def cut_frames(record: ClipFeatures, where: list[Window]) -> Tensor:
    """(S, W, 3, P, P) bytes of a clip's pictures. Raises ValueError when its record holds none."""
    pictures = [decode_jpegs(record.jpegs, w.first_frame + np.arange(w.frames)) for w in where]
    return torch.from_numpy(np.stack(pictures)).permute(0, 1, 4, 2, 3)


def cut_audio(record: ClipFeatures, where: list[Window], spec: FeatureSpec) -> Tensor:
    """(S, Wa, F) of the clip's music, the last window moved back if the sound ends before the picture."""
    rate_hz, fps = spec.audio.frame_rate_hz, spec.video.fps
    length = min(round(where[0].frames / fps * rate_hz), len(record.audio))
    firsts = [min(round(w.first_frame / fps * rate_hz), len(record.audio) - length) for w in where]
    return torch.from_numpy(np.stack([record.audio[first : first + length] for first in firsts]))
