"""Estimates optical flow by PWC-Net (Sun et al. 2018, the dense 'PWC-DC' form), as the paper does.

Exact enough to load the public checkpoint by renaming its keys; that file is the user's to bring (its licence is
non-commercial). Stopped at level 3 it costs a fifth of the whole. Knows no video and no music.

Shapes: B pairs; H, W multiples of 64; level l is H / 2^l x W / 2^l. Flow is in units of 20 pixels of the picture.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mudar.errors import CardInvalid
from mudar.model.correlation import RANGE, cost_volume, warp
from mudar.model.pyramid import CHANNELS, ConvBlock, PyramidEncoder
from mudar.records import Array

FLOW_UNIT_PX = 20.0
COARSEST = 6
_COSTS = (2 * RANGE + 1) ** 2  # 81
_DENSE = (128, 128, 96, 64, 32)
_CONTEXT = ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1))  # channels, dilation
_PAIRS_AT_ONCE = 16

State = dict[str, Tensor]


class Decoder(nn.Module):
    """Decodes one level: five densely connected convolutions, the flow they give, and both upsampled for the next."""

    def __init__(self, level: int) -> None:
        super().__init__()
        # From level 5 on: costs, own features, and the coarser level's flow and features, two channels each.
        inputs = _COSTS if level == COARSEST else _COSTS + CHANNELS[level - 1] + 4
        self.dense = nn.ModuleList()
        for outputs in _DENSE:
            self.dense.append(ConvBlock(inputs, outputs))
            inputs += outputs
        self.outputs = inputs
        self.predict = nn.Conv2d(inputs, 2, 3, padding=1)
        self.up_flow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
        # The public checkpoint has an up_flow at level 2, which nothing reads, and no up_features.
        self.up_features = nn.ConvTranspose2d(inputs, 2, 4, 2, 1) if level > 2 else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, inputs, h, w) to flow (B, 2, h, w) and dense features (B, outputs, h, w)."""
        for block in self.dense:
            x = torch.cat([block(x), x], dim=1)
        return self.predict(x), x


class Context(nn.Sequential):
    """Refines the finest flow by dilated convolutions over the last features; their output is added to it."""

    def __init__(self, inputs: int) -> None:
        layers: list[nn.Module] = []
        for outputs, dilation in _CONTEXT:
            layers.append(ConvBlock(inputs, outputs, dilation=dilation))
            inputs = outputs
        super().__init__(*layers, nn.Conv2d(inputs, 2, 3, padding=1))


class PwcNet(nn.Module):
    """Estimates flow from one picture to another, coarse to fine, down to `stop_level` (2: all; 3: 5x cheaper)."""

    def __init__(self, stop_level: int = 2) -> None:
        super().__init__()
        if not 2 <= stop_level <= COARSEST:
            raise ValueError(f"stop_level is 2..{COARSEST}, not {stop_level}")
        self.stop_level = stop_level
        self.pyramid = PyramidEncoder()
        self.decoders = nn.ModuleDict({str(level): Decoder(level) for level in range(COARSEST, stop_level - 1, -1)})
        self.context = Context(self.decoders["2"].outputs) if stop_level == 2 else None  # type: ignore[arg-type]

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Maps two (B, 3, H, W) BGR pictures in 0..1 to flows (B, 2, H / 2^l, W / 2^l), finest first, up to level 6.

        Raises ValueError unless H and W are multiples of 64.
        """
        if first.shape[2] % 64 or first.shape[3] % 64:
            raise ValueError(f"PWC-Net needs sides that are multiples of 64, not {tuple(first.shape[2:])}")
        maps = self.pyramid(torch.cat([first, second]))
        return self.decode([m[: len(first)] for m in maps], [m[len(first) :] for m in maps])

    def decode(self, first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
        """Maps the pyramids of two pictures to flows as `forward` does, so that a frame of a video is encoded once."""
        flows: list[Tensor] = []
        dense = first[-1]
        for level in range(COARSEST, self.stop_level - 1, -1):
            own, other = first[level - 1], second[level - 1]
            if not flows:
                x = nn.functional.leaky_relu(cost_volume(own, other), 0.1)
            else:
                coarser = self.decoders[str(level + 1)]
                flow, features = coarser.up_flow(flows[-1]), coarser.up_features(dense)  # type: ignore[operator]
                costs = cost_volume(own, warp(other, flow * (FLOW_UNIT_PX / 2**level)))
                x = torch.cat([nn.functional.leaky_relu(costs, 0.1), own, flow, features], dim=1)
            flow, dense = self.decoders[str(level)](x)
            flows.append(flow)
        if self.context is not None:
            flows[-1] = flows[-1] + self.context(dense)
        return flows[::-1]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], stop_level: int = 2) -> PwcNet:
        """Makes a network with these weights, of which an early stop needs a part. Raises CardInvalid."""
        net = cls(stop_level)
        names = net.state_dict().keys()
        missing = sorted(names - state.keys())
        if missing:
            raise CardInvalid(f"these are not PWC-Net's weights: {len(missing)} missing, the first is {missing[0]}")
        net.load_state_dict({key: state[key] for key in names})
        return net


def as_input(frames: NDArray[np.uint8]) -> Tensor:
    """Converts (N, H, W, 3) RGB bytes to the (N, 3, H, W) BGR of 0..1 that the public weights were trained on."""
    return torch.from_numpy(np.ascontiguousarray(frames[..., ::-1])).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def flow_between_neighbours(net: PwcNet, frames: NDArray[np.uint8]) -> Array:
    """Estimates (N-1, h, w, 2) flows of (N, H, W, 3) RGB frames, in pixels of the grid of net.stop_level."""
    weight = next(net.parameters())
    pictures = as_input(frames).to(weight.device, weight.dtype)
    pieces: list[Array] = []
    for start in range(0, len(frames) - 1, _PAIRS_AT_ONCE):
        maps = net.pyramid(pictures[start : start + _PAIRS_AT_ONCE + 1])
        finest = net.decode([m[:-1] for m in maps], [m[1:] for m in maps])[0]
        pixels = finest.float() * (FLOW_UNIT_PX / 2**net.stop_level)
        pieces.append(pixels.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(pieces)


def import_public(path: Path) -> State:
    """Reads the weights of the public checkpoint (`pwc_net.pth.tar`) under our names. Raises CardInvalid.

    Unpickles no code.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise CardInvalid(f"{path} is no checkpoint that torch can read safely") from error
    if not isinstance(content, Mapping):
        raise CardInvalid(f"{path} holds no weights by name")
    state = rename_public(content.get("state_dict", content))
    PwcNet.from_state(state)
    return state


def load_public(path: Path, stop_level: int = 2) -> PwcNet:
    """Loads the network of the public checkpoint. Raises CardInvalid."""
    return PwcNet.from_state(import_public(path), stop_level)


def read_weights(path: Path) -> State:
    """Reads our safetensors (`training.flow` writes them) or the public checkpoint. Raises CardInvalid."""
    if path.suffix != ".safetensors":
        return import_public(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CardInvalid(f"{path} is no safetensors file") from error
    PwcNet.from_state(state)
    return state


def rename_public(state: Mapping[str, Tensor]) -> State:
    """Converts public names to ours, with or without `module.` before them. CardInvalid on a name that is neither."""
    return {_our_name(key.removeprefix("module.")): value for key, value in state.items()}


_BLOCKS = {"a": 0, "aa": 1, "b": 2}
_BLOCKS_OF_6 = {"aa": 0, "a": 1, "b": 2}  # at level 6 the public names of the first two are swapped
_PARTS = {"predict_flow": "predict", "deconv": "up_flow", "upfeat": "up_features"}


def _our_name(key: str) -> str:
    """Converts `conv3aa.0.weight` to pyramid.levels.2.1.0.weight, `conv5_2.0.bias` to decoders.5.dense.2.0.bias.

    CardInvalid for a name that is not of the public checkpoint.
    """
    if match := re.fullmatch(r"conv([1-6])(aa|a|b)\.0\.(weight|bias)", key):
        level, block = int(match[1]), match[2]
        index = (_BLOCKS_OF_6 if level == COARSEST else _BLOCKS)[block]
        return f"pyramid.levels.{level - 1}.{index}.0.{match[3]}"
    if match := re.fullmatch(r"conv([2-6])_([0-4])\.0\.(weight|bias)", key):
        return f"decoders.{match[1]}.dense.{match[2]}.0.{match[3]}"
    if match := re.fullmatch(r"(predict_flow|deconv|upfeat)([2-6])\.(weight|bias)", key):
        return f"decoders.{match[2]}.{_PARTS[match[1]]}.{match[3]}"
    if match := re.fullmatch(r"dc_conv([1-7])(?:\.0)?\.(weight|bias)", key):
        layer = int(match[1]) - 1
        return f"context.{layer}.{'0.' if layer < len(_CONTEXT) else ''}{match[2]}"
    raise CardInvalid(f"{key} is no name of PWC-Net's public checkpoint")
