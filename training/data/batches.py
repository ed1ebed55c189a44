"""Records to batches of tensors. A batch follows from (seed, step) alone, so a resumed run sees the same ones.

Shapes: B clips; T frames; M motion; Ta, F audio; H heads; Bh the clips whose music is encoded (the batch's end).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mudar.spec import FeatureSpec
from training.data.augment import View, cut_audio, cut_motion, draw_view, soft_events
from training.data.pairs import Array, avc_allowed, draw_avts_shift, onset_frames
from training.data.store import Record
from training.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """What one step sees. `audio` and what follows it are of the last Bh clips: the others go without music."""

    motion: Tensor  # (B, T, M)
    target: Tensor  # (B, T, H)
    mask: Tensor  # (B, T, H)
    audio: Tensor  # (Bh, Ta, F)
    shifted: Tensor | None  # (Bh, Ta, F) own music, shifted, once AVTS has begun
    shifted_allowed: Tensor  # (Bh,)
    allowed: Tensor  # (Bh, Bh) bool: music j may be a negative for dance i


class Source(Protocol):
    """Where the records of a step come from."""

    def draw(self, rng: np.random.Generator, count: int) -> list[Record]:
        """`count` records."""
        ...


@dataclass(frozen=True)
class Mixture:
    """Generated and real records, in shares; among the real ones each source counts as it should."""

    generated: list[Record]
    real: list[Record]
    real_share: float
    large_share: float  # of the real draws, for the source with the most clips

    def draw(self, rng: np.random.Generator, count: int) -> list[Record]:
        """See `Source`; without records of one kind the other fills its place."""
        reals = round(count * self.real_share) if self.real and self.generated else (0 if self.generated else count)
        drawn = (
            [self.generated[i] for i in rng.integers(len(self.generated), size=count - reals)] if count > reals else []
        )
        drawn += [self._real(rng) for _ in range(reals)]
        return [drawn[i] for i in rng.permutation(len(drawn))]

    def _real(self, rng: np.random.Generator) -> Record:
        sources = sorted({r.source for r in self.real})
        sizes = {s: sum(r.source == s for r in self.real) for s in sources}
        largest = max(sources, key=lambda s: sizes[s])
        others = [r for r in self.real if r.source != largest]
        pool = (
            [r for r in self.real if r.source == largest] if rng.uniform() < self.large_share or not others else others
        )
        return pool[int(rng.integers(len(pool)))]


def make_batch(source: Source, recipe: Recipe, step: int) -> Batch:
    """The batch of this step."""
    rng = np.random.default_rng([recipe.seed, 31, step])
    records = source.draw(rng, recipe.data.batch)
    spec, model = recipe.features, recipe.model
    views = [draw_view(rng, record, spec, recipe.data.augmentation) for record in records]
    cut = [cut_motion(r, v, spec.video, recipe.data.augmentation, rng) for r, v in zip(records, views, strict=True)]
    targets = [_targets(r, v, recipe) for r, v in zip(records, views, strict=True)]
    known = np.stack([inside for _, inside in cut])[:, :, None]
    first = round(len(records) * model.audio_gate_share) if step % recipe.data.joint_every == 0 else len(records)
    heard = list(zip(records, views, strict=True))[first:]
    shifted, shift_ok = _shifted(heard, recipe, step, rng)
    return Batch(
        motion=torch.from_numpy(np.stack([motion for motion, _ in cut])),
        target=torch.from_numpy(np.stack(targets)),
        mask=torch.from_numpy(np.broadcast_to(known, (*known.shape[:2], len(model.rhythm_heads))).copy()),
        audio=_stack([cut_audio(r, v, spec.audio) for r, v in heard]),
        shifted=shifted,
        shifted_allowed=torch.from_numpy(shift_ok),
        allowed=_avc(heard, recipe.loss.onset_alpha, spec),
    )


def _targets(record: Record, view: View, recipe: Recipe) -> Array:
    """(T, H)"""
    events = record.curves_s()
    sigma_s = 0.0 if recipe.loss.rhythm == "crf" else recipe.loss.target_sigma_s
    columns = []
    for head in recipe.model.rhythm_heads:
        if head == "onset" and recipe.loss.rhythm == "regression":
            at = (view.start_s + np.arange(view.frames) / view.fps * view.stretch) * view.fps
            columns.append(np.interp(at, np.arange(len(record.envelope)), record.envelope).astype(np.float32))
        else:
            columns.append(soft_events(events[head], view, sigma_s))
    return np.stack(columns, axis=1)


def _avc(heard: list[tuple[Record, View]], alpha: float, spec: FeatureSpec) -> Tensor:
    if not heard:
        return torch.zeros(0, 0, dtype=torch.bool)
    onsets = np.stack([
        onset_frames((r.onsets_s - v.start_s) / v.stretch, 0.0, v.frames, spec.video.fps) for r, v in heard
    ])  # fmt: skip
    return torch.from_numpy(avc_allowed(onsets, [r.song_id for r, _ in heard], alpha))


def _shifted(
    heard: list[tuple[Record, View]], recipe: Recipe, step: int, rng: np.random.Generator
) -> tuple[Tensor | None, Array]:
    """Own music shifted as (17) allows, for the part of the run that is AVTS."""
    allowed = np.zeros(len(heard), np.float32)
    loss = recipe.loss
    if not heard or not loss.implicit_weight or step < loss.avts_from * recipe.optimiser.steps:
        return None, allowed
    fps, audio = recipe.features.video.fps, []
    for i, (record, view) in enumerate(heard):
        before = int(view.start_s * fps)
        after = int((record.duration_s - view.start_s) * fps - view.frames * view.stretch)
        shift = draw_avts_shift(rng, fps, _tempo_bpm(record.beats_s), -before, max(after, 0))
        moved = View(view.start_s + (shift or 0) / fps, view.stretch, view.frames, view.fps)
        audio.append(cut_audio(record, moved, recipe.features.audio))
        allowed[i] = float(shift is not None)
    return _stack(audio), allowed


def _tempo_bpm(beats_s: Array) -> float:
    return 60.0 / float(np.median(np.diff(beats_s))) if len(beats_s) > 2 else 120.0


def _stack(arrays: list[Array]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)) if arrays else torch.zeros(0)
