"""Records to batches of tensors. A batch follows from (seed, step) alone, so a resumed run sees the same ones.

Numbers are drawn on the CPU and the windows read where the table is, so CPU and GPU see the same batches. Of several
processes, or micro-steps, each makes its own part of the whole batch: nothing depends on how many there are.
Shapes: B clips; T frames; M motion; Ta, F audio; H heads; Bh the clips whose music is encoded (the batch's end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.spec import FeatureSpec
from training.data import cut as read
from training.data.augment import Plan, draw_plan
from training.data.cut import Cut
from training.data.pairs import avc_allowed, draw_avts_shifts
from training.data.store import Record
from training.data.table import Table, make_table
from training.recipe import Recipe

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Batch:
    """What one step sees. `audio` and what follows it are of the last Bh clips: the others go without music."""

    motion: Tensor  # (B, T, M)
    target: Tensor  # (B, T, H)
    mask: Tensor  # (B, T, H)
    audio: Tensor  # (Bh, Ta, F)
    shifted: Tensor | None  # (Bh, Ta, F) own music, shifted, once AVTS has begun
    shifted_allowed: Tensor  # (Bh,)
    onsets: Tensor  # (Bh, T) O of (16): 1 where an onset falls into the frame
    songs: Tensor  # (Bh,) a number for each song
    allowed: Tensor  # (Bh, Bh) bool: music j may be a negative for dance i


@dataclass(frozen=True)
class Part:
    """The `index`-th of `count` equal parts of every batch: the share of one process, or of one micro-step."""

    index: int = 0
    count: int = 1

    def of(self, first: int, last: int) -> NDArray[np.int64]:
        """Which of the places first … last - 1 are its own. Raises ValueError when they cannot be shared out evenly."""
        each, rest = divmod(last - first, self.count)
        if rest:
            raise ValueError(
                f"{last - first} clips cannot be shared out among {self.count}: choose data.batch so that its parts "
                "with and without music both can"
            )
        return np.arange(first + each * self.index, first + each * (self.index + 1))


WHOLE = Part()


class Source(Protocol):
    """Where the clips of a step come from."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Rows of the table for `count` windows."""
        ...

    def table(self, spec: FeatureSpec, device: torch.device) -> Table:
        """All clips, where the windows are to be read."""
        ...


class Mixture:
    """Generated and real records in memory, in shares; among the real ones each source counts as it should."""

    def __init__(
        self, generated: Sequence[Record], real: Sequence[Record], real_share: float, large_share: float
    ) -> None:
        """`large_share` of the real draws are of the source with the most clips."""
        self.records = [*generated, *real]
        self.real_share, self.large_share = real_share, large_share
        sources = np.array([record.source for record in real], dtype=str)
        names, sizes = np.unique(sources, return_counts=True)
        self._generated = np.arange(len(generated))
        of_largest = sources == (names[int(np.argmax(sizes))] if len(names) else "")
        self._largest = len(generated) + np.flatnonzero(of_largest)
        self._others = len(generated) + np.flatnonzero(~of_largest)
        self._tables: dict[tuple[FeatureSpec, torch.device], Table] = {}

    def table(self, spec: FeatureSpec, device: torch.device = CPU) -> Table:
        """See `Source`; made once."""
        if (spec, device) not in self._tables:
            self._tables[spec, device] = make_table(self.records, spec.video).to(device)
        return self._tables[spec, device]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """See `Source`; without records of one kind the other fills its place."""
        reals = len(self._largest) + len(self._others)
        share = 0.0 if not reals else 1.0 if not len(self._generated) else self.real_share
        real = round(count * share)
        large = rng.uniform(size=real) < (self.large_share if len(self._others) else 1.0)
        drawn = [
            self._pick(rng, self._generated, count - real),
            self._pick(rng, self._largest, int(large.sum())),
            self._pick(rng, self._others, int((~large).sum())),
        ]
        return rng.permutation(np.concatenate(drawn))

    @staticmethod
    def _pick(rng: np.random.Generator, pool: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        return pool[rng.integers(len(pool), size=count)] if count else pool[:0]


def make_batch(source: Source, recipe: Recipe, step: int, device: torch.device = CPU, part: Part = WHOLE) -> Batch:
    """This part of the batch of this step."""
    rng = np.random.default_rng([recipe.seed, 31, step])
    spec, data = recipe.features, recipe.data
    table = source.table(spec, device)
    plan = draw_plan(rng, source.draw(rng, data.batch), table, spec, data.augmentation)
    size = len(plan.clips)
    first = round(size * recipe.model.audio_gate_share) if step % data.joint_every == 0 else size
    deaf, hearing = part.of(0, first), part.of(first, size)
    return _read(table, plan.part(np.concatenate([deaf, hearing])), len(deaf), recipe, step)


def _read(table: Table, plan: Plan, first: int, recipe: Recipe, step: int) -> Batch:
    """The windows of a plan, of which the first `first` go without music."""
    spec, heads = recipe.features, recipe.model.rhythm_heads
    whole = Cut.of(plan, table, spec)
    motion, inside = read.motion(table, whole, plan, recipe.data.augmentation.noise_sd)
    heard, hearing = whole.part(slice(first, None)), plan.part(slice(first, None))
    empty = motion.new_zeros(0)
    some = len(hearing.clips) > 0
    onsets = read.soft_events(table, heard, ("onset",), 0.0)[..., 0] if some else motion.new_zeros(0, motion.shape[1])
    songs = table.songs[heard.clips]
    shift = _shift(hearing, table, recipe, step) if some else None
    return Batch(
        motion=motion,
        target=_targets(table, whole, recipe),
        mask=inside[..., None].expand(-1, -1, len(heads)),
        audio=read.audio(table, heard) if some else empty,
        shifted=None if shift is None else read.audio(table, heard.moved(shift[0])),
        shifted_allowed=empty if shift is None else shift[1],
        onsets=onsets,
        songs=songs,
        allowed=avc_allowed(onsets, songs, recipe.loss.onset_alpha),
    )


def _targets(table: Table, cut: Cut, recipe: Recipe) -> Tensor:
    """(B, T, H)"""
    heads, loss = recipe.model.rhythm_heads, recipe.loss
    target = read.soft_events(table, cut, heads, 0.0 if loss.rhythm == "crf" else loss.target_sigma_s)
    if loss.rhythm == "regression" and "onset" in heads:
        target[..., heads.index("onset")] = read.envelope(table, cut)
    return target


def _shift(plan: Plan, table: Table, recipe: Recipe, step: int) -> tuple[Tensor, Tensor] | None:
    """(B,) seconds by which (17) lets the own music be shifted, and (B,) 1 where it does, once AVTS has begun."""
    loss = recipe.loss
    if not loss.implicit_weight or step < loss.avts_from * recipe.optimiser.steps:
        return None
    fps, frames = recipe.features.video.fps, recipe.features.frames_per_segment
    before = (plan.start_s * fps).astype(np.int64)
    after = ((table.duration_s[plan.clips] - plan.start_s) * fps - frames * plan.stretch).astype(np.int64)
    shifts, found = draw_avts_shifts(plan.chance, fps, table.tempo_bpm[plan.clips], -before, np.maximum(after, 0))
    both = torch.from_numpy(np.stack([shifts / fps, found])).to(table.device)
    return both[0], both[1].float()
