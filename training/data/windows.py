"""Reads planned windows off a table: motion, music and targets as tensors, on the table's device. No randomness.

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
class WindowCoordinates:
    """Holds the plan of some windows as tensors: `clips` (B,), and the clip's fractional frame (B, T) at each time."""

    clips: Tensor
    start_s: Tensor  # (B, 1)
    stretch: Tensor  # (B, 1)
    spec: FeatureSpec

    @classmethod
    def of(cls, plan: Plan, table: Table, spec: FeatureSpec) -> WindowCoordinates:
        """All windows of the plan."""
        both = to_device(np.stack([plan.start_s, plan.stretch]), table.device)
        clips = to_device(plan.clips, table.device)
        return cls(clips, both[0][:, None], both[1][:, None], spec)

    @classmethod
    def at(
        cls, clips: NDArray[np.int64], start_s: NDArray[np.float64], table: Table, spec: FeatureSpec
    ) -> WindowCoordinates:
        """Windows as they are, at these seconds (B,) of these rows (B,)."""
        start = to_device(start_s, table.device)[:, None]
        return cls(to_device(clips, table.device), start, torch.ones_like(start), spec)

    def part(self, chosen: slice) -> WindowCoordinates:
        """Some of its windows."""
        return WindowCoordinates(self.clips[chosen], self.start_s[chosen], self.stretch[chosen], self.spec)

    def shifted(self, shift_s: Tensor) -> WindowCoordinates:
        """The same windows, each (B,) seconds of the clip later."""
        return WindowCoordinates(self.clips, self.start_s + shift_s[:, None], self.stretch, self.spec)

    @property
    def frame(self) -> Tensor:
        """(B, T) frames of the clip, fractional, at the places of the window."""
        fps = self.spec.video.fps
        position = torch.arange(self.spec.frames_per_segment, device=self.clips.device, dtype=torch.float64)
        return self.start_s * fps + position * self.stretch

    def frames_of(self, times_s: Tensor) -> Tensor:
        """Seconds of each clip (B, …) to (fractional) frames of its window."""
        shape = (-1, *[1] * (times_s.dim() - 1))
        return (times_s - self.start_s.view(shape)) / self.stretch.view(shape) * self.spec.video.fps


def motion(table: Table, coordinates: WindowCoordinates, plan: Plan, noise_sd: float = 0.0) -> tuple[Tensor, Tensor]:
    """Reads the augmented motion (B, T, M), 0 where the clip has no frame, and a mask (B, T), 1 where it has one."""
    device = table.device
    frame = coordinates.frame
    inside = table.motion.inside(coordinates.clips, frame).float()
    shown = frame.gather(1, to_device(plan.frame, device))
    rows = table.motion.read(coordinates.clips, shown)  # (B, T, M)
    column = to_device(plan.column, device)
    factor = to_device(plan.factor, device) * coordinates.stretch
    rows = rows.gather(2, column[:, None].expand_as(rows)) * factor.float()[:, None]
    if noise_sd:
        rows = rows * _noise(noise_sd, device, rows[0].numel())[to_device(plan.noise_at, device)].view_as(rows)
    return rows * inside[..., None], inside


def pictures(table: Table, coordinates: WindowCoordinates, plan: Plan) -> Tensor:
    """Reads the nearest frame at each time, (B, T, 3, S, S) bytes on the CPU, mirrored where the motion is."""
    shown = coordinates.frame.cpu().round().long().numpy()
    windows = []
    for clip, at, flip in zip(plan.clips, np.take_along_axis(shown, plan.frame, axis=1), plan.mirrored, strict=True):
        frames = decode_jpegs(table.jpegs[clip], at)
        windows.append(frames[:, :, ::-1] if flip else frames)
    return torch.from_numpy(np.stack(windows)).permute(0, 1, 4, 2, 3)


def audio(table: Table, coordinates: WindowCoordinates) -> Tensor:
    """Reads the music input (B, Ta, F), stretched in time and tempo alike; outside the clip there is silence."""
    spec = coordinates.spec.audio
    count = round(coordinates.spec.segment.window_s * spec.frame_rate_hz)
    position = torch.arange(count, device=coordinates.clips.device, dtype=torch.float64)
    at = coordinates.start_s * spec.frame_rate_hz + position * coordinates.stretch
    rows = table.audio.read(coordinates.clips, at)
    bins = spec.tempogram_bins
    tempogram = torch.bmm(rows[..., -bins:], _tempo_shift(coordinates.stretch[:, 0], spec))
    rows = torch.cat([rows[..., :-bins], tempogram], dim=-1)
    silence = torch.zeros(rows.shape[-1], device=rows.device)
    silence[: spec.n_mels] = -1.0
    return torch.where(table.audio.inside(coordinates.clips, at)[..., None], rows, silence)


def envelope(table: Table, coordinates: WindowCoordinates) -> Tensor:
    """Reads the onset strength (B, T), 0..1."""
    return table.envelope.read(coordinates.clips, coordinates.frame)[..., 0]


def soft_events(table: Table, coordinates: WindowCoordinates, heads: tuple[str, ...], sigma_s: float) -> Tensor:
    """Makes the targets (B, T, H): a bump of height 1 at each event, `sigma_s` wide; 0 gives hard 0/1 frames."""
    chosen = _rows(heads, table.device)
    at = coordinates.frames_of(table.events_s[coordinates.clips[:, None], chosen].double()).contiguous()  # (B, H, E)
    position = torch.arange(coordinates.spec.frames_per_segment, device=table.device, dtype=torch.float64)
    position = position.expand(*at.shape[:2], -1).contiguous()
    if sigma_s <= 0:
        # The first event from half a frame before on: each event falls into one frame, and one only.
        following = at.gather(2, torch.searchsorted(at, position - 0.5).clamp_max(at.shape[2] - 1))
        return (following < position + 0.5).float().transpose(1, 2)
    right = torch.searchsorted(at, position).clamp_max(at.shape[2] - 1)
    ahead = at.gather(2, right) - position
    behind = position - at.gather(2, (right - 1).clamp_min(0))
    nearest_s = torch.minimum(ahead.abs(), behind.abs()) / coordinates.spec.video.fps
    return torch.exp(-0.5 * (nearest_s / sigma_s) ** 2).float().transpose(1, 2)


@lru_cache(maxsize=16)
def _rows(heads: tuple[str, ...], device: torch.device) -> Tensor:
    return torch.tensor([HEADS.index(head) for head in heads], device=device)


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copies the array to the device without waiting for what that still computes."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def _tempo_shift(stretch: Tensor, spec: AudioSpec) -> Tensor:
    """(B, bins, bins): what a tempogram must be multiplied by to be that of the music played `stretch` times faster."""
    bins = spec.tempogram_bins
    step = np.log(spec.tempo_max_bpm / spec.tempo_min_bpm) / (bins - 1)
    position = torch.arange(bins, device=stretch.device, dtype=torch.float64)
    at = (position - stretch.log()[:, None] / step).clamp(0, bins - 1)  # (B, bins): the old place of each new bin
    return (1.0 - (position[:, None] - at[:, None]).abs()).clamp_min(0.0).float()


@lru_cache(maxsize=4)
def _noise(sd: float, device: torch.device, window: int) -> Tensor:
    """(·, window): every stretch of `window` factors of a pool that is the same in every process, on every device."""
    pool = torch.randn(NOISE_POOL, generator=torch.Generator().manual_seed(97)).mul_(sd).exp_()
    return pool.to(device).unfold(0, window, 1)
