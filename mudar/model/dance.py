"""Encodes dance as in section 3.2, and makes the maps that the injector attends over. Knows no files, no music.

Its input is a choice: the paper's pyramid feature map of each frame, motion descriptors, or both.
Shapes: B batch; T frames; M motion features; S picture side; k map positions; C map channels; D = d_model.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from mudar.model.config import ModelConfig
from mudar.model.pyramid import PyramidEncoder
from mudar.model.temporal import Code, SequenceEncoder
from mudar.spec import VideoSpec

_FRAMES_AT_ONCE = 64  # pictures through the pyramid together, whatever the batch


class FrameMaps(nn.Module):
    """Computes the last feature map of PWC-Net's pyramid for each frame."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pyramid = PyramidEncoder(config.pyramid_channels[: config.pyramid_levels])

    def forward(self, frames: Tensor) -> Tensor:
        """Maps (B, T, 3, S, S) in 0..1, or bytes, to (B, T, k, C)."""
        flat = rearrange(frames, "b t c h w -> (b t) c h w")
        maps = torch.cat([self.encode(part) for part in torch.split(flat, _FRAMES_AT_ONCE)])
        return rearrange(maps, "(b t) c h w -> b t (h w) c", b=frames.shape[0])

    def encode(self, pictures: Tensor) -> Tensor:
        """Maps (n, 3, S, S) to (n, C, h, w); bytes become numbers here, a few frames at a time."""
        return self.pyramid(pictures if pictures.is_floating_point() else pictures.float() / 255)[-1]


class GridCells(nn.Module):
    """Takes the cells of the motion grid as the k positions of a map: where the body moves, nothing of the room."""

    def __init__(self, config: ModelConfig, spec: VideoSpec) -> None:
        super().__init__()
        if spec.grid == 0:
            raise ValueError("injector_source='grid' needs VideoSpec.grid > 0")
        self.start, self.directions = spec.hoof_bins + 1, spec.grid_directions
        self.project = nn.Linear(spec.grid_directions, config.injector_dim)
        # The name is that of the checkpoints.
        self.place = nn.Parameter(0.1 * torch.randn(spec.grid**2, config.injector_dim))

    def forward(self, motion: Tensor) -> Tensor:
        """Maps (B, T, M) to (B, T, k, C); `place` tells one cell from another."""
        cells = rearrange(motion[..., self.start :], "b t (k d) -> b t k d", d=self.directions)
        return torch.relu(self.project(cells) + self.place)


class DanceEncoder(nn.Module):
    """Encodes motion, feature maps, or both, of a window to its Code."""

    def __init__(self, config: ModelConfig, spec: VideoSpec) -> None:
        super().__init__()
        self.inputs = config.visual_inputs
        width = spec.motion_dim if "motion" in self.inputs else 0
        if "rgb" in self.inputs:
            width += config.map_cells * config.map_channels
        self.encoder = SequenceEncoder(width, config)

    def forward(self, motion: Tensor, maps: Tensor | None) -> Code:
        """Encodes (B, T, M) normalised motion and (B, T, k, C) maps, if the config takes them."""
        features = [motion] if "motion" in self.inputs else []
        if "rgb" in self.inputs:
            if maps is None:
                raise ValueError("this network looks at frames, and none were given")
            features.append(rearrange(maps, "b t k c -> b t (k c)"))
        return self.encoder(torch.cat(features, dim=-1))
