"""Configures the network: every choice that the paper leaves open, and the two presets. Imports no torch.

Travels in a checkpoint's card beside the FeatureSpec, which says what the network is fed. Knows no weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

VisualInput = Literal["motion", "rgb"]
HeadKind = Literal["focal", "bce", "regression", "crf"]
RhythmVectorKind = Literal["tempo", "curve", "both", "repeats"]

PWC_CHANNELS = (16, 32, 64, 96, 128, 196)
FILTER_HEADS = ("beat", "beat13", "downbeat")  # the columns of the beat filter


@dataclass(frozen=True)
class ModelConfig:
    """Configures one network. The defaults are `small()`'s; `paper()` is as printed, open numbers filled in."""

    d_model: int = 128  # D: width of both sequence encoders
    layers: int = 2  # K temporal layers in each
    heads: int = 4
    feedforward_ratio: int = 2
    norm_first: bool = True  # False: layer norm after each residual, as in the raw transformer
    temporal_network: Literal["transformer", "tcn"] = "transformer"
    embed_dim: int = 256  # E
    dropout: float = 0.1

    visual_inputs: tuple[VisualInput, ...] = ("motion",)  # what the visual encoder of section 3.2 sees
    injector_source: Literal["rgb", "grid"] = "grid"  # what AGVA attends over: feature maps, or cells of the flow
    injector_dim: int = 32  # C of the injected features when the source is the grid; with rgb: the map's channels
    pyramid_levels: int = 6
    pyramid_channels: tuple[int, ...] = PWC_CHANNELS
    appearance_size_px: int = 256

    audio_channels: tuple[int, ...] = (8, 16, 32)
    audio_time_strides: tuple[int, ...] = (2, 2, 2)  # 120 feature frames a second -> 15

    audio_gate_share: float = 0.5  # p: share of a training batch whose injector hears no music
    rhythm_heads: tuple[str, ...] = ("beat", "beat13", "downbeat", "onset")
    rhythm_head_kind: HeadKind = "focal"
    served_head: str = "beat"  # the one whose curve becomes strokes
    estimator_dim: int = 64  # width of U_mot and U_inj in (15)
    estimator_raw: bool = True  # also show (15) the features themselves, beside their first differences
    estimator_layers: int = 4  # dilated convolutions before W_e; 0 = W_e alone, as in (15)
    # frames to either side that the beat filter looks at, whose beats are served where the heads are not sure; 0 = none
    beat_filter_reach: int = 0

    # R: phase-free tempo of one curve, the curve itself (as in the paper), both, or how many curves repeat
    rhythm_vector: RhythmVectorKind = "repeats"
    # of a dance: its learned curve, how hard the body brakes, or how hard it brakes in each cell of the flow
    rhythm_vector_from: Literal["head", "deceleration", "grid"] = "grid"
    rhythm_context_s: float = 12.0  # of "repeats": standard deviation over which neighbouring segments are averaged
    rhythm_dim: int = 64  # R
    lambda_default: float = 0.5

    def __post_init__(self) -> None:
        """Refuses, with ValueError, numbers that do not fit together."""
        _require(self.d_model % self.heads == 0, "d_model must be a multiple of heads")
        _require(self.injected_dim % self.heads == 0, "the injected channels must be a multiple of heads")
        _require(len(self.audio_channels) == len(self.audio_time_strides), "one time stride for each audio channel")
        _require(self.served_head in self.rhythm_heads, "served_head must be one of rhythm_heads")
        _require(0 <= self.audio_gate_share <= 1, "audio_gate_share lies in 0..1")
        _require(0 <= self.lambda_default <= 1, "lambda_default lies in 0..1")
        many = self.rhythm_vector_from == "grid"
        _require(not many or self.rhythm_vector == "repeats", "the cells of a grid are compared by how they repeat")
        _require(bool(self.visual_inputs), "the visual encoder needs an input")
        _require(1 <= self.pyramid_levels <= len(self.pyramid_channels), "one channel count for each pyramid level")

    @property
    def needs_frames(self) -> bool:
        """Tells whether the network takes pixels as well as motion."""
        return "rgb" in self.visual_inputs or self.injector_source == "rgb"

    @property
    def map_channels(self) -> int:
        """Counts the channels of the pyramid's last feature map."""
        return self.pyramid_channels[self.pyramid_levels - 1]

    @property
    def map_cells(self) -> int:
        """Counts the k positions of the pyramid's last feature map; each level halves the picture, rounding up."""
        side = self.appearance_size_px
        for _ in range(self.pyramid_levels):
            side = (side + 1) // 2
        return side * side

    @property
    def injected_dim(self) -> int:
        """Counts the C channels of the features that the injector gives."""
        return self.map_channels if self.injector_source == "rgb" else self.injector_dim

    @property
    def served_index(self) -> int:
        """Finds the column of the served head in the rhythm logits."""
        return self.rhythm_heads.index(self.served_head)

    def to_dict(self) -> dict[str, Any]:
        """Converts to a plain dict of numbers, strings and lists, for a model card."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Builds the config that `to_dict` has converted; unknown keys raise TypeError."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**fields)


def small() -> ModelConfig:
    """Configures `mudar-small`, the default: flow only, attended cell by cell, so that it cannot read the room."""
    return ModelConfig()


def paper() -> ModelConfig:
    """Configures the paper's network.

    PWC pyramid, K raw transformer layers, RGB injector, (15) without context, onsets as the target.
    """
    return ModelConfig(
        d_model=256,
        layers=2,
        heads=4,
        feedforward_ratio=4,
        norm_first=False,
        visual_inputs=("rgb",),
        injector_source="rgb",
        audio_channels=(16, 32, 64, 96),
        audio_time_strides=(2, 2, 2, 1),
        rhythm_heads=("onset",),
        served_head="onset",
        estimator_raw=False,
        estimator_layers=0,
        rhythm_vector="curve",
        rhythm_vector_from="head",
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
