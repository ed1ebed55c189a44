"""Reading planned windows off a table: motion, music and targets as tensors, on the table's device. No randomness.

Shapes: B windows; T window frames; M motion; Ta audio frames; F audio features; H heads; E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.spec import AudioSpec, FeatureSpec
from training.data.augment import NOISE_POOL, Plan
from training.data.ragged import HEADS, Table
from training.data.records import decode_jpegs


@dataclass(frozen=True)
class Cut:
    """The plan of some windows as tensors: `clips` (B,), and the clip's frame (B, T), fractional, at each place."""

    clips: Tensor
    start_s: Tensor  # (B, 1)
    stretch: Tensor  # (B, 1)
    spec: FeatureSpec

    @classmethod
    def of(cls, plan: Plan, table: Table, spec: FeatureSpec) -> Cut:
        """All windows of the plan."""
        both = put(np.stack([plan.start_s, plan.stretch]), table.device)
        clips = put(plan.clips, table.device)
        return cls(clips, both[0][:, None], both[1][:, None], spec)

    @classmethod
    def at(cls, clips: NDArray[np.int64], start_s: NDArray[np.float64], table: Table, spec: FeatureSpec) -> Cut:
        """Windows as they are, at these seconds (B,) of these rows (B,)."""
        start = put(start_s, table.device)[:, None]
        return cls(put(clips, table.device), start, torch.ones_like(start), spec)

    def part(self, chosen: slice) -> Cut:
        """Some of its windows."""
        return Cut(self.clips[chosen], self.start_s[chosen], self.stretch[chosen], self.spec)

    def moved(self, shift_s: Tensor) -> Cut:
        """The same windows, each (B,) seconds of the clip later."""
        return Cut(self.clips, self.start_s + shift_s[:, None], self.stretch, self.spec)

    @property
    def frame(self) -> Tensor:
        """(B, T) frames of the clip, fractional, at the places of the window."""
        fps = self.spec.video.fps
        place = torch.arange(self.spec.frames_per_segment, device=self.clips.device, dtype=torch.float64)
        return self.start_s * fps + place * self.stretch

    def in_frames(self, times_s: Tensor) -> Tensor:
        """Seconds of each clip (B, …) to (fractional) frames of its window."""
        shape = (-1, *[1] * (times_s.dim() - 1))
        return (times_s - self.start_s.view(shape)) / self.stretch.view(shape) * self.spec.video.fps


def motion(table: Table, cut: Cut, plan: Plan, noise_sd: float = 0.0) -> tuple[Tensor, Tensor]:
    """(B, T, M) bent motion of the windows, 0 where the clip has no frame, and (B, T) 1 where it has one."""
    device = table.device
    frame = cut.frame
    inside = table.motion.inside(cut.clips, frame).float()
    shown = frame.gather(1, put(plan.frame, device))
    rows = table.motion.read(cut.clips, shown)  # (B, T, M)
    column = put(plan.column, device)
    factor = put(plan.factor, device) * cut.stretch
    rows = rows.gather(2, column[:, None].expand_as(rows)) * factor.float()[:, None]
    if noise_sd:
        rows = rows * _noise(noise_sd, device, rows[0].numel())[put(plan.noise_at, device)].view_as(rows)
    return rows * inside[..., None], inside


def pictures(table: Table, cut: Cut, plan: Plan) -> Tensor:
    """(B, T, 3, S, S) bytes on the CPU: the nearest frame of the clip at each place, mirrored where the motion is."""
    shown = cut.frame.cpu().round().long().numpy()
    windows = []
    for clip, at, flip in zip(plan.clips, np.take_along_axis(shown, plan.frame, axis=1), plan.mirrored, strict=True):
        frames = decode_jpegs(table.jpegs[clip], at)
        windows.append(frames[:, :, ::-1] if flip else frames)
    return torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3)


def audio(table: Table, cut: Cut) -> Tensor:
    """(B, Ta, F) music input: stretched in time, its tempogram moved by the same factor; silence outside the clip."""
    spec = cut.spec.audio
    count = round(cut.spec.segment.window_s * spec.frame_rate_hz)
    place = torch.arange(count, device=cut.clips.device, dtype=torch.float64)
    at = cut.start_s * spec.frame_rate_hz + place * cut.stretch
    rows = table.audio.read(cut.clips, at)
    bins = spec.tempogram_bins
    tempogram = torch.bmm(rows[..., -bins:], _tempo_shift(cut.stretch[:, 0], spec))
    rows = torch.cat([rows[..., :-bins], tempogram], dim=-1)
    silence = torch.zeros(rows.shape[-1], device=rows.device)
    silence[: spec.n_mels] = -1.0
    return torch.where(table.audio.inside(cut.clips, at)[..., None], rows, silence)


def envelope(table: Table, cut: Cut) -> Tensor:
    """(B, T) onset strength, 0..1."""
    return table.envelope.read(cut.clips, cut.frame)[..., 0]


def soft_events(table: Table, cut: Cut, heads: tuple[str, ...], sigma_s: float) -> Tensor:
    """(B, T, H) targets: a bump of height 1 at each event, `sigma_s` wide; 0 gives hard 0/1 frames."""
    chosen = _rows(heads, table.device)
    at = cut.in_frames(table.events_s[cut.clips[:, None], chosen].double()).contiguous()  # (B, H, E)
    place = torch.arange(cut.spec.frames_per_segment, device=table.device, dtype=torch.float64)
    place = place.expand(*at.shape[:2], -1).contiguous()
    if sigma_s <= 0:
        # The first event from half a frame before on: each event falls into one frame, and one only.
        following = at.gather(2, torch.searchsorted(at, place - 0.5).clamp_max(at.shape[2] - 1))
        return (following < place + 0.5).float().transpose(1, 2)
    right = torch.searchsorted(at, place).clamp_max(at.shape[2] - 1)
    ahead = at.gather(2, right) - place
    behind = place - at.gather(2, (right - 1).clamp_min(0))
    nearest_s = torch.minimum(ahead.abs(), behind.abs()) / cut.spec.video.fps
    return torch.exp(-0.5 * (nearest_s / sigma_s) ** 2).float().transpose(1, 2)


@lru_cache(maxsize=16)
def _rows(heads: tuple[str, ...], device: torch.device) -> Tensor:
    return torch.tensor([HEADS.index(head) for head in heads], device=device)


def put(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device. The plain way would wait there for all that is still being computed."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def _tempo_shift(stretch: Tensor, spec: AudioSpec) -> Tensor:
    """(B, bins, bins): what a tempogram must be multiplied by to be that of the music played `stretch` times faster."""
    bins = spec.tempogram_bins
    step = np.log(spec.tempo_max_bpm / spec.tempo_min_bpm) / (bins - 1)
    place = torch.arange(bins, device=stretch.device, dtype=torch.float64)
    at = (place - stretch.log()[:, None] / step).clamp(0, bins - 1)  # (B, bins): the old place of each new bin
    return (1.0 - (place[:, None] - at[:, None]).abs()).clamp_min(0.0).float()


@lru_cache(maxsize=4)
def _noise(sd: float, device: torch.device, window: int) -> Tensor:
    """(·, window): every stretch of `window` factors of a pool that is the same in every process, on every device."""
    pool = torch.randn(NOISE_POOL, generator=torch.Generator().manual_seed(97)).mul_(sd).exp_()
    return pool.to(device).unfold(0, window, 1)
