"""Draws pairs of pictures with known flow on the training device: layers of paint that move by known maps.

A picture is a background and several patches and limbs before it. Each layer moves by an affine map and a smooth
bend. The map is given from the second picture back to the first, so that both are read off the same paint without a
hole; the flow of the first picture is its inverse, found by iteration (the maps are contractions around the
identity). Everything is drawn on the device, a batch at once: no loader can starve the network.

Shapes: B pairs; L layers, the background first; H, W rows and columns. Coordinates are (x, y) in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_INVERSIONS = 12  # each divides the error by at least three


@dataclass(frozen=True)
class Scenes:
    """Says what is drawn, in numbers. Displacements are in pixels of a picture of 256, and scale with its side."""

    patches: int = 10
    background_px: float = 2.5  # mean of the background's exponential displacement
    patch_px: float = 6.0  # and of a patch's own, on top of it
    still: float = 0.3  # share of backgrounds that do not move: a camera on its stand
    turn: float = 0.07  # radians, standard deviation
    zoom: float = 0.05
    bend_px: float = 1.0
    noise: float = 0.03
    light: float = 0.08  # by how much the second picture may be brighter than the first


@dataclass(frozen=True)
class PairBatch:
    """Holds pictures first, second (B, 3, H, W) in 0..1, and the flow (B, 2, H, W) from first to second in pixels."""

    first: Tensor
    second: Tensor
    flow: Tensor


def draw(batch: int, height: int, width: int, generator: torch.Generator, scenes: Scenes | None = None) -> PairBatch:
    """Draws a batch of pairs on the generator's device; the same generator state gives the same pairs."""
    about, device = scenes or Scenes(), generator.device
    count = batch * (about.patches + 1)
    grid = _grid(height, width, device)
    paint, cover = _paint(count, height, width, generator), _cover(batch, about.patches, grid, generator)
    back = _motion(batch, about, height, width, generator)  # (B L, 2, H, W): from the second picture to the first
    forward = torch.zeros_like(back)
    for _ in range(_INVERSIONS):
        forward = -_read(back, grid + forward, "border")
    moved_paint, moved_cover = _read(paint, grid + back, "reflection"), _read(cover, grid + back, "border")
    first, owner = _compose(paint, cover, batch)
    second, _ = _compose(moved_paint, moved_cover, batch)
    layers = _by_pair(forward, batch)
    flow = layers.gather(1, owner[:, None, None].expand(-1, 1, 2, -1, -1))[:, 0]
    return PairBatch(*_film(first, second, about, generator), flow)


def _film(first: Tensor, second: Tensor, about: Scenes, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What a camera does to both: light, contrast, a little blur, noise."""
    batch = len(first)
    gain = 1 + about.light * _normal((2, batch, 1, 1, 1), generator)
    lift = 0.5 * about.light * _normal((2, batch, 1, 1, 1), generator)
    contrast = 0.6 + 0.6 * _uniform((batch, 1, 1, 1), generator)
    sharp = (_uniform((batch, 1, 1, 1), generator) < 0.6).float()
    noise = about.noise * _uniform((batch, 1, 1, 1), generator)
    images = []
    for i, picture in enumerate((first, second)):
        soft = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)
        picture = torch.lerp(soft, picture, sharp)
        picture = (picture - 0.5) * contrast * gain[i] + 0.5 + lift[i]
        images.append((picture + noise * _normal(tuple(picture.shape), generator)).clamp(0, 1))
    return images[0], images[1]


def _compose(paint: Tensor, cover: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Layers one before the other: the picture (B, 3, H, W), and which layer each pixel shows (B, H, W)."""
    paint, cover = _by_pair(paint, batch), _by_pair(cover, batch)
    picture = paint[:, 0]
    owner = torch.zeros_like(cover[:, 0, 0], dtype=torch.long)
    for layer in range(1, paint.shape[1]):
        picture = torch.lerp(picture, paint[:, layer], cover[:, layer])
        owner = torch.where(cover[:, layer, 0] > 0.5, layer, owner)
    return picture, owner


def _paint(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """(count, 3, H, W) in 0..1: noise of all sizes, some of it cut into flat pieces with edges, in random colours."""
    fall = 0.15 + 0.9 * _uniform((count, 1, 1, 1), generator)  # how fast finer grain fades
    rough = torch.zeros(count, 3, height, width, device=generator.device)
    cells, octave = 4, 0
    while cells <= max(height, width):
        smooth = F.interpolate(
            _normal((count, 3, cells, cells), generator), (height, width), mode="bilinear", align_corners=True
        )
        rough = rough + smooth * torch.exp2(-fall * octave)
        cells, octave = cells * 2, octave + 1
    rough = rough / rough.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    pieces = 0.5 + 1.5 * _uniform((count, 1, 1, 1), generator)
    flat = torch.round(rough * pieces) / pieces
    rough = torch.lerp(rough, flat, (_uniform((count, 1, 1, 1), generator) < 0.5).float())
    colours = torch.matmul(_normal((count, 3, 3), generator) * 0.5, rough.flatten(2)).view_as(rough)
    strength = 0.03 + 0.3 * _uniform((count, 1, 1, 1), generator)
    return (_uniform((count, 3, 1, 1), generator) + strength * colours).clamp(0, 1)


def _cover(batch: int, patches: int, grid: Tensor, generator: torch.Generator) -> Tensor:
    """(B L, 1, H, W) in 0..1: all of the background, then blobs with lobes and limbs with round ends, edges 1 px."""
    height, width = grid.shape[-2:]
    side = float(min(height, width))
    shape = (batch * patches, 1, 1, 1)
    box = torch.tensor([width, height], device=grid.device, dtype=torch.float32).view(1, 2, 1, 1)
    centre = (_uniform((batch * patches, 2, 1, 1), generator) * 1.2 - 0.1) * box
    turn = 2 * torch.pi * _uniform(shape, generator)
    x, y = (grid - centre).unbind(1)
    x, y = x[:, None], y[:, None]
    along, across = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    size = side * torch.exp2(-5.5 + 4.0 * _uniform(shape, generator))  # a 45th to a third of the picture
    angle, radius = torch.atan2(across, along), torch.sqrt(along**2 + across**2 + 1e-6)
    lobes = torch.ones(shape, device=grid.device)
    for k in (2, 3, 5):
        lobes = lobes + 0.3 / k * _normal(shape, generator) * torch.cos(k * angle + 6.3 * _uniform(shape, generator))
    blob = size * lobes - radius
    half = side * (0.05 + 0.2 * _uniform(shape, generator))
    limb = 0.35 * size + 1.0 - torch.sqrt((along.abs() - half).clamp_min(0) ** 2 + across**2 + 1e-6)
    inside = torch.where(_uniform(shape, generator) < 0.5, blob, limb)
    cover = _by_pair((inside + 0.5).clamp(0, 1), batch)
    return torch.cat([torch.ones_like(cover[:, :1]), cover], dim=1).flatten(0, 1)


def _motion(batch: int, about: Scenes, height: int, width: int, generator: torch.Generator) -> Tensor:
    """(B L, 2, H, W) displacement from the second picture to the first of every layer."""
    layers, unit = about.patches + 1, min(height, width) / 256
    own = _step((batch, layers), about.patch_px * unit, generator)
    background = _step((batch, 1), about.background_px * unit, generator)
    background = background * (_uniform((batch, 1, 1), generator) >= about.still)
    travel = torch.cat([background, background + own[:, 1:]], dim=1).flatten(0, 1)[:, :, None, None]
    count = batch * layers
    still = torch.ones(batch, layers, 1, 1, 1, device=generator.device)
    still[:, 0] = (background.abs().sum(dim=-1) > 0).float()[:, :, None, None]
    still = still.flatten(0, 1)
    turn, zoom = (s * _normal((count, 1, 1, 1), generator) * still for s in (about.turn, about.zoom))
    box = torch.tensor([width, height], device=generator.device, dtype=torch.float32).view(1, 2, 1, 1)
    away = _grid(height, width, generator.device) - _uniform((count, 2, 1, 1), generator) * box
    turned = torch.stack([-away[:, 1], away[:, 0]], dim=1)
    small = _normal((count, 2, 5, 5), generator)
    bend = F.interpolate(small, (height, width), mode="bicubic", align_corners=True)
    strength = about.bend_px * unit * _uniform((count, 1, 1, 1), generator) * still
    return travel + turn * turned + zoom * away + strength * bend


def _step(shape: tuple[int, int], mean_px: float, generator: torch.Generator) -> Tensor:
    """(B, L, 2) displacements of exponential length in any direction."""
    length = -mean_px * torch.log1p(-_uniform((*shape, 1), generator).clamp_max(0.999))
    angle = 2 * torch.pi * _uniform((*shape, 1), generator)
    return torch.cat([length * angle.cos(), length * angle.sin()], dim=-1)


def _by_pair(layers: Tensor, batch: int) -> Tensor:
    """(B L, ...) to (B, L, ...)."""
    return layers.view(batch, -1, *layers.shape[1:])


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """(1, 2, H, W) coordinates (x, y) of every pixel."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y])[None].float()


def _read(layers: Tensor, at: Tensor, outside: str) -> Tensor:
    """Layers (N, C, H, W) at coordinates (N, 2, H, W), bilinearly."""
    height, width = layers.shape[2:]
    grid = torch.stack([2 * at[:, 0] / (width - 1) - 1, 2 * at[:, 1] / (height - 1) - 1], dim=-1)
    grid = grid.expand(len(layers), -1, -1, -1)
    return F.grid_sample(layers, grid, mode="bilinear", padding_mode=outside, align_corners=True)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
