"""Defines a run as one frozen object, from which all else follows; a variant changes one field. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mudar.model.config import ModelConfig
from mudar.spec import FeatureSpec

Network = Literal["mudar", "multisensory", "avts", "lla"]


@dataclass(frozen=True)
class LossRecipe:
    """Sets the losses (18), (19) and (20), and what the paper leaves open in them."""

    rhythm: Literal["focal", "bce", "regression", "crf"] = "focal"
    rhythm_weight: float = 1.0  # λ2; 0 = "w/o rhythm"
    focal_alpha: float = 0.75
    focal_gamma: float = 2.0
    target_sigma_s: float = 0.035  # 0 = hard frames
    head_weights: tuple[tuple[str, float], ...] = ()  # others count 1
    implicit: Literal["triplet", "infonce"] = "triplet"
    implicit_weight: float = 1.0  # λ1
    margin: float = 0.4
    temperature: float = 0.1
    onset_alpha: float = 0.2  # α of (16)
    avts_from: float = 0.7  # share of the run after which negatives are shifted own music; the paper: epoch 36 of 50
    avts_weight: float = 0.5  # of AVTS against AVC from then on; 1 = AVTS alone
    offline_every: int = 0  # steps after which each clip's hardest negatives are looked for again; 0 = never
    offline_keep: int = 16  # how many are kept for each clip; a step meets one of them
    offline_weight: float = 0.5  # of the triplet with them against the triplets within the batch


@dataclass(frozen=True)
class Augmentation:
    """Says how far a window is augmented. The defaults leave it as it is."""

    stretch: tuple[float, float] = (1.0, 1.0)
    mirror: float = 0.0  # share of windows
    gain_sd: float = 0.0  # of the log of a factor on all motion
    noise_sd: float = 0.0  # of the log of a factor on each value
    move_cells: float = 0.0  # share of windows whose grid is moved by a cell: another framing
    drop_cells: float = 0.0  # share of windows that lose a row or a column of cells
    glitch: float = 0.0  # share of frames that repeat the one before, as phones record


@dataclass(frozen=True)
class DataRecipe:
    """Says what a batch is drawn from."""

    batch: int = 32
    joint_every: int = 1  # only every so many steps hear music; the others train the rhythm of the dance alone
    fraction: float = 1.0  # of the generated clips, by the order of their names
    real_share: float = 0.0  # of each batch
    bachata_share: float = 0.5  # of the real part: rare sources are weighted up against the one large one
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class OptimiserRecipe:
    """Sets AdamW with a linear warm-up and a falling rate, and a moving average of the weights."""

    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    steps: int = 1000
    warmup_steps: int = 50
    clip_norm: float = 1.0
    ema: float = 0.0  # 0 = the weights themselves are what is kept
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    falls_at: tuple[float, ...] = (0.6, 0.85)  # shares of the run at which `step` multiplies the rate
    falls_by: float = 0.1


@dataclass(frozen=True)
class EngineRecipe:
    """Says how a step is computed; none of it changes what is learnt, but for rounding (and what `accumulate` says)."""

    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: matrix products and convolutions; weights and losses stay fp32
    accumulate: int = 1  # parts that a process's batch is computed in; negatives are then those of a part
    activation_checkpointing: bool = (
        False  # activations again in the backward pass, instead of keeping them: less memory, more work
    )
    compiled: Literal["no", "default", "reduce-overhead"] = "no"  # torch.compile's mode


@dataclass(frozen=True)
class Recipe:
    """Defines a run. Two runs of the same recipe on the same records give the same weights."""

    name: str
    model: ModelConfig
    features: FeatureSpec
    loss: LossRecipe = field(default_factory=LossRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    engine: EngineRecipe = field(default_factory=EngineRecipe)
    seed: int = 0
    network: Network = "mudar"  # or a system that it is compared with

    def to_dict(self) -> dict[str, Any]:
        """A plain nested dict, for the log of a run."""
        return asdict(self)
