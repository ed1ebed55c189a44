"""Assembles the network of figure 2: dance encoder, music encoder, injector, rhythm estimator. Knows no files.

Video alone, sound alone and both work: the encoders never see each other, and the injector does without music.
Shapes: B batch; T model frames; M motion features; Ta audio frames; F audio features; S picture side; k map
positions; C map channels; H rhythm heads; D = d_model; E = embed_dim.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mudar.model.beat_filter import BeatFilter
from mudar.model.config import ModelConfig
from mudar.model.dance import DanceEncoder, FrameMaps, GridCells
from mudar.model.injector import Injector
from mudar.model.music import MusicEncoder
from mudar.model.rhythm import CrfHead, RhythmFeatures, make_head
from mudar.model.temporal import Code
from mudar.records import Array
from mudar.spec import FeatureSpec


class Output(NamedTuple):
    """Holds what one pass gives; None for what its inputs do not allow."""

    dance: Code | None
    music: Code | None
    rhythm_logits: Tensor | None  # (B, T, H)


class Mudar(nn.Module):
    """Embeds dance and music and estimates rhythm, as its ModelConfig says, from features as its FeatureSpec says.

    `frames` are pictures (B, T, 3, S, S), in 0..1 or as bytes, or their maps (B, T, k, C) as `maps` gave them; only a
    config with `needs_frames` takes them. Motion comes from `inputs.motion_input`, audio from
    `rhythm.music.model_input`.
    """

    def __init__(self, config: ModelConfig, spec: FeatureSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self.frame_maps = FrameMaps(config) if config.needs_frames else None
        from_grid = config.injector_source == "grid"
        self.grid_cells = GridCells(config, spec.video) if from_grid else None
        cells = spec.video.grid**2 if from_grid else config.map_cells
        self.dance = DanceEncoder(config, spec.video)
        self.music = MusicEncoder(config, spec.audio.input_dim)
        self.injector = Injector(cells, config.injected_dim, config.d_model, config.heads, config.audio_gate_share)
        self.rhythm_features = RhythmFeatures(config, spec.video.motion_dim)
        self.rhythm_head = make_head(config)
        reach = config.beat_filter_reach
        self.beat_filter = BeatFilter(reach, spec.video) if reach else None

    def maps(self, frames: Tensor) -> Tensor:
        """Computes pyramid maps (B, T, k, C) of pictures (B, T, 3, S, S), once for frames that windows share."""
        if self.frame_maps is None:
            raise ValueError("this network does not look at frames")
        return self.frame_maps(frames)

    def encode_dance(self, motion: Tensor, frames: Tensor | None = None) -> Code:
        """Encodes (B, T, M) motion, with frames where the config takes them."""
        return self.dance(motion, self._maps(frames))

    def encode_music(self, audio: Tensor, frames: int | None = None) -> Code:
        """Encodes (B, Ta, F) music input to a Code of `frames` model frames (default: as many as last as long)."""
        return self.music(audio, frames or self.model_frames(audio.shape[1]))

    def model_frames(self, audio_frames: int) -> int:
        """Counts the model frames that last as long as `audio_frames` audio frames."""
        return max(round(audio_frames / self.spec.audio.frame_rate_hz * self.spec.video.fps), 1)

    def rhythm_logits(self, motion: Tensor, frames: Tensor | None = None, music: Code | None = None) -> Tensor:
        """Estimates logits (B, T, H), one column for each of the config's rhythm_heads; the curve is their sigmoid."""
        return self.rhythm_head(self._rhythm_features(motion, self._maps(frames), music))

    def rhythm_sequence(self, motion: Tensor, frames: Tensor | None = None, music: Code | None = None) -> Tensor:
        """Computes (B, T, U), the features that the rhythm heads read."""
        return self._rhythm_features(motion, self._maps(frames), music)

    def filtered(self, rows: Array) -> Array | None:
        """Computes the beat filter's curves (T, F) from a clip's (T, M) `motion_input`; None without a filter."""
        return None if self.beat_filter is None else self.beat_filter.curves(rows, self.spec.video)

    def rhythm_nll(
        self, motion: Tensor, strokes: Tensor, frames: Tensor | None = None, music: Code | None = None
    ) -> Tensor:
        """Computes the negative log-likelihood (B, H) of (B, T, H) 0/1 strokes, for the CRF head."""
        return self._crf().nll(self._rhythm_features(motion, self._maps(frames), music), strokes)

    def rhythm_states(self, motion: Tensor, frames: Tensor | None = None, music: Code | None = None) -> Tensor:
        """Finds the likeliest 0/1 strokes (B, T, H) by Viterbi, for the CRF head."""
        return self._crf().decode(self._rhythm_features(motion, self._maps(frames), music))

    def forward(
        self, motion: Tensor | None = None, audio: Tensor | None = None, frames: Tensor | None = None
    ) -> Output:
        """Computes whatever of dance, music and rhythm the given inputs allow."""
        maps = self._maps(frames)
        music = None if audio is None else self.encode_music(audio, None if motion is None else motion.shape[1])
        if motion is None:
            return Output(None, music, None)
        logits = self.rhythm_head(self._rhythm_features(motion, maps, music))
        return Output(self.dance(motion, maps), music, logits)

    def _maps(self, frames: Tensor | None) -> Tensor | None:
        if frames is None or self.frame_maps is None:
            return None
        return frames if frames.ndim == 4 else self.frame_maps(frames)

    def _rhythm_features(self, motion: Tensor, maps: Tensor | None, music: Code | None) -> Tensor:
        cells = self.grid_cells(motion) if self.grid_cells is not None else maps
        if cells is None:
            raise ValueError("this network's injector looks at frames, and none were given")
        injected = self.injector(cells, None if music is None else music.sequence)
        return self.rhythm_features(motion, injected)

    def _crf(self) -> CrfHead:
        if not isinstance(self.rhythm_head, CrfHead):
            raise ValueError("only rhythm_head_kind='crf' has states and their likelihood")
        return self.rhythm_head


def build(config: ModelConfig, spec: FeatureSpec, seed: int = 0) -> Mudar:
    """Builds a network with fresh weights that depend on nothing but the arguments."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Mudar(config, spec)
